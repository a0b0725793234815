"""Log lines about messages that something is wrong with: the first at once, then one line per kind and period."""

import logging

from fmq.clock import Clock
from fmq.quantities import show
from fmq.service.log import shorten
from fmq.topics import QUARANTINE
from fmq_listener.mqtt.packets.batch import Batch

_log = logging.getLogger(__name__)
_SECONDS = 10.0
_SHOWN = 5


class Notice:
    """One kind of line, with the number of messages and the first few of them."""

    def __init__(self, level: int, text: str) -> None:
        """``text`` has {} for the number of messages, and ends with what the first few follow."""
        self._level = level
        self._text = text
        self._count = 0
        self._shown: list[str] = []

    def note(self, shown: str) -> None:
        """Take note of one message."""
        self._count += 1
        if len(self._shown) < _SHOWN and shown not in self._shown:
            self._shown.append(shown)

    def tell(self) -> bool:
        """Log what was noted since the last line; returns False if nothing was."""
        if not self._count:
            return False
        more = "" if self._count <= len(self._shown) else ", …"
        _log.log(self._level, "%s %s%s", self._text.format(self._count), ", ".join(self._shown), more)
        self._count = 0
        self._shown = []
        return True


class Notices:
    """All kinds. A sender of nothing but such messages can't fill the log."""

    def __init__(self, clock: Clock, *, most_packet_bytes: int) -> None:
        self._clock = clock
        larger = f"larger than FMQ_MAX_PACKET_BYTES={show(most_packet_bytes, 'bytes')}"
        self._unroutable = Notice(
            logging.WARNING,
            "Stored messages that match no topic filter ({}); the broker rewrites topics, or another program has subscribed "
            "with this client id:",
        )
        self._quarantined = Notice(
            logging.ERROR,
            f"Stored messages as dead letters ({{}}), which no handler gets; look at them with fmq dead list '{QUARANTINE}':",
        )
        self._oversized = Notice(
            logging.ERROR,
            f"Passed over messages {larger} ({{}}), neither stored nor acknowledged: the broker keeps them; raise the setting "
            "and the memory limit:",
        )
        self._discarded = Notice(
            logging.ERROR,
            f"DISCARDED messages of QoS 0 {larger} ({{}}); raise the setting and the memory limit:",
        )
        self._due = dict.fromkeys((self._unroutable, self._quarantined, self._oversized, self._discarded), 0.0)

    def take(self, batch: Batch) -> None:
        """Count the unusual messages of a stored batch, and log the kinds that are due."""
        for topic, queue in batch.unroutable:
            self._unroutable.note(f"{shorten(topic)} (now in {shorten(queue)})")
        for topic, reason in batch.quarantined:
            self._quarantined.note(f"{shorten(topic)}: {shorten(reason)}")
        for one in batch.oversized:
            notice = self._oversized if one.qos else self._discarded
            notice.note(f"{shorten(one.topic)} ({one.size} bytes)")
        self.tell_if_due()

    def tell_if_due(self) -> None:
        """Log the kinds whose last line is old enough."""
        now = self._clock.steady()
        for notice, due in self._due.items():
            if now >= due and notice.tell():
                self._due[notice] = now + _SECONDS

    def tell(self) -> None:
        """Log what is left."""
        for notice in self._due:
            notice.tell()
