"""Topic filters (MQTT 5, section 4.7): what is valid, and what matches. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

_LONGEST = 65_535
_SHARE = "$share/"
QUARANTINE = "$quarantine"
"""The queue of messages that belong to no other one or can't be parsed: dead letters from the start (docs/adr/0016)."""


@dataclass(frozen=True, slots=True)
class TopicFilter:
    """``text`` is what is subscribed to, ``name`` the queue: the same without ``$share/GROUP/``."""

    text: str
    name: str


def parse(text: str) -> TopicFilter:
    """Check a topic filter. Raises ValueError with what is wrong."""
    name = text
    if text.startswith("$share"):
        _, _, rest = text.partition("/")
        group, slash, name = rest.partition("/")
        if not text.startswith(_SHARE) or not slash or not group or "+" in group or "#" in group:
            raise ValueError(f"{text!r} is no shared subscription: it would be $share/GROUP/FILTER")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} is no valid UTF-8") from None
    if not name:
        raise ValueError("a topic filter can't be empty")
    if size > _LONGEST:
        raise ValueError(f"a topic filter of {size} bytes is too long: {_LONGEST} is the most")
    if "\0" in text:
        raise ValueError(f"{text!r} has a NUL character")
    levels = name.split("/")
    for level in levels:
        if len(level) > 1 and ("+" in level or "#" in level):
            raise ValueError(f"{text!r} has a wildcard beside other characters: + and # fill a whole level")
    if "#" in levels[:-1]:
        raise ValueError(f"{text!r} has # before its last level")
    return TopicFilter(text, name)


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
