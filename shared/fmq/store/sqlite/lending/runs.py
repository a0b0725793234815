"""Ids without a gap, as those of a batch nearly always are: SQLite goes through a range in half the time of a list of ids."""

from collections.abc import Sequence


def is_run(ids: Sequence[int]) -> bool:
    """Whether ``ids``, which are not empty, count up one by one."""
    return ids[-1] - ids[0] == len(ids) - 1 and ids == list(range(ids[0], ids[-1] + 1))
