"""Topic filters together: which of them overlap, and which queue a message goes into. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from zlib import crc32

from fmq.topics import QUARANTINE, TopicFilter, matches, parse

_MOST_IDENTIFIERS = 268_435_455
_ROUTES_KEPT = 1_024


def parse_all(texts: Iterable[str]) -> tuple[TopicFilter, ...]:
    """Check topic filters together. Raises ValueError with what is wrong."""
    seen: dict[str, TopicFilter] = {}
    for text in texts:
        one = parse(text)
        if one.name == QUARANTINE:
            raise ValueError(f"{text!r} is the queue for messages that belong to no topic filter: choose another one")
        other = seen.setdefault(one.name, one)
        if other.text != text:
            raise ValueError(f"{other.text!r} and {text!r} would fill the same queue {one.name!r}")
    return tuple(seen.values())


def overlapping(names: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of filters that can match one and the same topic."""
    return [(one, other) for index, one in enumerate(names) for other in names[index + 1 :] if _overlap(one, other)]


def _overlap(one: str, other: str) -> bool:
    left, right = one.split("/"), other.split("/")
    if one[0] != other[0] and "$" in (one[0], other[0]):
        return False
    for mine, theirs in zip(left, right, strict=False):
        if "#" in (mine, theirs):
            return True
        if mine != theirs and "+" not in (mine, theirs):
            return False
    longer = left if len(left) > len(right) else right
    return len(left) == len(right) or longer[min(len(left), len(right)) :] == ["#"]


def identifiers(names: Iterable[str]) -> dict[str, int]:
    """A subscription identifier for each name: the same in every run, as long as no two names collide."""
    taken: dict[int, str] = {}
    for name in sorted(set(names)):
        number = crc32(name.encode()) % _MOST_IDENTIFIERS
        while number + 1 in taken:
            number = (number + 1) % _MOST_IDENTIFIERS
        taken[number + 1] = name
    return {name: number for number, name in taken.items()}


class Router:
    """Finds the queues of a message.

    ``wanted`` are the names of the filters subscribed to. ``former`` are queues of filters that were removed: the
    broker may still hold messages for them. ``unmatched`` are those for what matches no filter, since a broker rewrites
    topics, or somebody else had subscribed with this session: the queue of the only filter, else the quarantine.
    """

    def __init__(self, wanted: Iterable[str], former: Iterable[str], numbers: Mapping[str, int]) -> None:
        self._wanted = [(name, name.split("/")) for name in wanted]
        self._former = [(name, name.split("/")) for name in former if name != QUARANTINE]
        self.unmatched = (self._wanted[0][0],) if len(self._wanted) == 1 else (QUARANTINE,)
        self._by_number = {numbers[name]: name for name, _ in [*self._wanted, *self._former]}
        self.by_topic = lru_cache(maxsize=_ROUTES_KEPT)(self._by_topic)

    def by_identifiers(self, numbers: Sequence[int], topic: str) -> tuple[str, ...]:
        """The queues of these subscription identifiers, each once; by topic if none of them is known.

        An identifier comes once per subscription (MQTT 5, section 3.3.4), and $share/GROUP/a has the same one as a.
        """
        found = dict.fromkeys(self._by_number[number] for number in numbers if number in self._by_number)
        return tuple(found) or self.by_topic(topic)

    def _by_topic(self, topic: str) -> tuple[str, ...]:
        for names in (self._wanted, self._former):
            found = tuple(name for name, levels in names if matches(levels, topic))
            if found:
                return found
        return ()
