"""Topic filters (MQTT 5, section 4.7): validity and matching."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest

_LONGEST = 65_535
_SHARE = "$share/"
QUARANTINE = "$quarantine"
"""The queue of messages that match no filter or can't be parsed. They are dead letters from the start (docs/adr/0016)."""


@dataclass(frozen=True, slots=True)
class TopicFilter:
    """``text`` is the filter to subscribe to. ``name`` is the queue: the filter without ``$share/GROUP/``."""

    text: str
    name: str


def queue_name(text: str) -> str:
    """The queue of a topic filter that may be invalid: the filter without ``$share/GROUP/``."""
    return _shared(text)[2]


def parse(text: str) -> TopicFilter:
    """Check a topic filter. Raises ValueError with what is wrong."""
    group, slash, name = _shared(text)
    is_valid = text.startswith(_SHARE) and slash and group and "+" not in group and "#" not in group
    if text.startswith("$share") and not is_valid:
        raise ValueError(f"Invalid shared subscription {text!r}: expected $share/GROUP/FILTER")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} is not valid UTF-8") from None
    if not name:
        raise ValueError("a topic filter can't be empty")
    if size > _LONGEST:
        raise ValueError(f"a topic filter of {size} bytes is too long: the maximum is {_LONGEST}")
    if "\0" in text:
        raise ValueError(f"{text!r} has a NUL character")
    levels = name.split("/")
    for level in levels:
        if len(level) > 1 and ("+" in level or "#" in level):
            raise ValueError(f"{text!r} has a wildcard next to other characters: + and # have to fill a whole level")
    if "#" in levels[:-1]:
        raise ValueError(f"{text!r} has # before its last level")
    return TopicFilter(text, name)


@lru_cache(1_024)
def require_topic(topic: str) -> None:
    """Raise ValueError for a topic that nobody can publish on (MQTT 5, section 4.7.3)."""
    if not topic:
        raise ValueError("it is empty")
    for character, what in (("+", "the wildcard +"), ("#", "the wildcard #"), ("\0", "a NUL character")):
        if character in topic:
            raise ValueError(f"{topic[:200]!r} has {what} in it")
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        raise ValueError("it is not valid UTF-8") from None
    if size > _LONGEST:
        raise ValueError(f"its {size} bytes exceed the maximum of {_LONGEST}")


def matches(filter_levels: Sequence[str], topic: str) -> bool:
    """Whether a filter, split at its slashes, matches a concrete topic."""
    levels = topic.split("/")
    if topic.startswith("$") and filter_levels[0] in ("+", "#"):
        return False
    for index, level in enumerate(filter_levels):
        if level == "#":
            return True
        if index >= len(levels) or level not in ("+", levels[index]):
            return False
    return len(levels) == len(filter_levels)


def covers(one: str, other: str) -> bool:
    """Whether the filter ``one`` matches every topic that the filter ``other`` matches."""
    left, right = one.split("/"), other.split("/")
    if left[0] in ("+", "#") and other.startswith("$"):
        return False
    for index, level in enumerate(left):
        if level == "#":
            return True
        if index >= len(right) or right[index] == "#" or level not in ("+", right[index]):
            return False
    return len(left) == len(right)


def overlaps(one: str, other: str) -> bool:
    """Whether there is a topic that both filters match."""
    left, right = one.split("/"), other.split("/")
    if any(a[0] in ("+", "#") and b[0].startswith("$") for a, b in ((left, right), (right, left))):
        return False
    for mine, theirs in zip_longest(left, right):
        if "#" in (mine, theirs):
            return True
        if mine is None or theirs is None or (mine != theirs and "+" not in (mine, theirs)):
            return False
    return True


def _shared(text: str) -> tuple[str, str, str]:
    """The group of a shared subscription, the slash after it, and the filter; without a group for a plain filter."""
    prefix, _, rest = text.partition("/")
    return rest.partition("/") if prefix == "$share" else ("", "", text)
