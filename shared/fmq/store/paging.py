"""Steps of a walk through messages, newest first, and groups of dead letters, whatever the backend."""

from fmq.store.fingerprint import fingerprint
from fmq.store.records import Group

MOST_GROUPS = 200
"""A step ends once it has found this many groups: publishers may decide how many there are."""
SHORT_REASON = 800
"""How many characters of a reason are read to group it."""


def place_of(before: str | None) -> tuple[float, int]:
    """Position and id before which a walk goes on. Raises ValueError for a ``before`` that no step returned."""
    if before is None:
        return float("inf"), 2**63 - 1
    place, _, last = before.rpartition(",")
    return float(place or "inf"), int(last)


def place_after(one: tuple[int, float]) -> str:
    """The ``before`` of a step that goes on after the message with this id and position."""
    number, place = one
    return f"{place!r},{number}"


def add_to(groups: dict[str, Group], reason: str, at: float) -> None:
    """Count a dead letter. It is older than those counted before."""
    key = fingerprint(reason)
    known = groups.get(key)
    if known is None:
        groups[key] = Group(key, 1, at, at, reason.partition("\n")[0][:SHORT_REASON])
    else:
        groups[key] = Group(key, known.count + 1, at, known.last_at, known.reason)
