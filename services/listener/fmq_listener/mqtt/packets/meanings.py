"""What the topic and the property section of a PUBLISH come to: the queues, and what is kept."""

from fmq.message import Properties
from fmq.topics import QUARANTINE
from fmq_listener.filters import Router
from fmq_listener.mqtt.packets.batch import Batch, Quarantined
from fmq_listener.mqtt.packets.properties import Section, decode_properties

_KEPT = 4_096
_LONGEST_KEPT = 512
_UNROUTABLE, _FAULTY = 1, 2
_NO_SECTION = Section((), None, 0)

Known = tuple[tuple[str, ...], str, Properties | None, str | None, int]
"""The queues, the topic as text, the properties to keep, the reason why it is a dead letter, and 0, or what else it is
counted as."""


class Meanings:
    """Remembers what came before. ``known`` is looked up by section and topic."""

    def __init__(self, *, v5: bool) -> None:
        self._v5 = v5
        self._router = Router((), (), {})
        self.known: dict[tuple[bytes, bytes], Known] = {}

    def route(self, router: Router) -> None:
        """Find queues by ``router`` from now on."""
        self._router = router
        self.known.clear()

    def learn(self, section: bytes, raw_topic: bytes) -> tuple[Known, int]:
        """What these bytes mean, and how many bytes of memory the properties take."""
        topic = raw_topic.decode(errors="backslashreplace")  # stored, whatever it is
        found = decode_properties(section) if self._v5 else _NO_SECTION
        fault = found.fault
        if not raw_topic and fault is None:
            fault = f"no topic, but topic alias {found.alias}" if found.alias else "no topic"
        if fault is not None:
            # Not remembered: where such a section ends, its own length does not tell.
            return ((QUARANTINE,), topic, found.kept, fault, _FAULTY), found.weight
        router = self._router
        queues = router.by_identifiers(found.identifiers, topic) if found.identifiers else router.by_topic(topic)
        known: Known = (queues, topic, found.kept, None, 0)
        if not queues:
            queues = router.unmatched
            reason = "it matches no topic filter of this listener" if queues == (QUARANTINE,) else None
            known = (queues, topic, found.kept, reason, _UNROUTABLE)
        if len(self.known) >= _KEPT:
            self.known.clear()
        if len(section) + len(raw_topic) <= _LONGEST_KEPT:
            self.known[section, raw_topic] = known
        return known, found.weight


def count_apart(batch: Batch, known: Known) -> None:
    """Note in ``batch`` what is not an ordinary message."""
    queues, topic, _, reason, apart = known
    if apart == _UNROUTABLE:
        batch.unroutable.append((topic, queues[0]))
    if reason is not None:
        batch.quarantined.append(Quarantined(topic, reason))
