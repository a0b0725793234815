"""Which queue was meant by a name that no queue has."""

from collections.abc import Sequence
from difflib import get_close_matches

from fmq.topics import matches

_MOST = 3
_ALIKE = 0.6


def no_queue(name: str, where: str, existing: Sequence[str]) -> str:
    """The text of the error: the nearest of the ``existing`` queues, and the next command to try."""
    if not existing:
        return f"{where} has no queue {name!r}, nor any other. A listener creates it: fmq listen '{name}'"
    others = f" It has {len(existing):,} other{'' if len(existing) == 1 else 's'}."
    return f"{where} has no queue {name!r}.{did_you_mean(name, existing) or others} `fmq status` lists all"


def did_you_mean(name: str, existing: Sequence[str]) -> str:
    """A question with the nearest of the ``existing`` queues, after a space. Empty if none is near."""
    meant = [one for one in existing if matches(one.split("/"), name)]  # the topic of a message of the queue
    lowered = {one.lower(): one for one in existing}
    alike = [lowered[one] for one in get_close_matches(name.lower(), lowered, n=_MOST, cutoff=_ALIKE)]
    meant += [one for one in alike if one not in meant]
    return f" Did you mean {' or '.join(map(repr, meant[:_MOST]))}?" if meant else ""
