"""Retained messages that come again only because the listener has subscribed again.

Every connection subscribes to all filters. In MQTT 5 that brings no retained message twice: Retain Handling 1 (section
3.8.3.1). In 3.1.1 a SUBSCRIBE to a filter that the session holds brings all of its retained messages again (section
3.8.4), with the RETAIN flag. So does one that is sent again because the first was granted at QoS 0. Such a copy is not stored
if it repeats what its queue has got last of its topic; it is acknowledged, and counted as a duplicate. A copy that differs is
stored: the broker may have lost the subscription for a while. A SUBSCRIBE brings one copy of a topic. What comes after it with
the RETAIN flag, which no other delivery should have (section 3.3.1.3), is a new message of a broker that keeps the flag.
A message with DUP is not such a copy: the session delivers it again, because the broker has not read its acknowledgement (4.4).
"""

import json
from collections.abc import Sequence
from hashlib import blake2b
from operator import attrgetter, itemgetter

from fmq.message import Incoming
from fmq.store.roles import Notes
from fmq_listener.mqtt.packets.batch import Batch

_TOPICS = 65_536
_TOPICS_NOTED = 16_384
_DIGEST_BYTES = 8
_queue_and_topic, _payload, _retain = itemgetter(0, 1), itemgetter(2), attrgetter("retain")


class Retained:
    """Knows the last message of each topic, in memory; and of those that came as retained, in a note in the store.

    Both are bounded: beyond it, a copy is stored once more. Topics are kept as hashes: one may have 65,535 bytes.
    """

    def __init__(self, notes: Notes, *, session: str) -> None:
        self._notes = notes
        self._key = f"retained:{session}"
        self._repeated: frozenset[str] = frozenset()
        self._again = False
        self._last: dict[int, int] = {}
        self._copied: set[int] = set()
        """Topics of which a copy has come since the last SUBSCRIBE."""
        self._compared: set[int] = set()
        """Topics that are not in the note."""
        self._noted: dict[str, str] = {}

    def begin(self, *, repeated: frozenset[str]) -> None:
        """A connection stands. ``repeated``: queues whose filter the session has held before. Raises StoreUnavailable."""
        self._repeated = repeated
        self._again = False
        self._copied.clear()
        try:
            found = json.loads(self._notes.recall(self._key) or "{}")
        except ValueError:
            found = {}
        self._noted = found if isinstance(found, dict) else {}
        self._compared.clear()

    def subscribed_again(self) -> None:
        """A SUBSCRIBE goes out on the same connection once more, so copies come once more."""
        self._again = True
        self._copied.clear()

    def sift(self, messages: Sequence[Incoming], batch: Batch) -> tuple[Sequence[Incoming], Sequence[Incoming]]:
        """Those of ``messages``, which came in ``batch``, to store, and those that repeat what is stored."""
        if not any(map(_retain, messages)):
            return messages, ()
        redelivered = {id(one) for one in batch.redelivered}
        kept: list[Incoming] = []
        again: list[Incoming] = []
        before: dict[int, int] = {}
        for one in messages:
            topic = hash(_queue_and_topic(one))
            if one.retain and id(one) not in redelivered and self._repeats(one, topic, before):
                again.append(one)
            else:
                kept.append(one)
                before[topic] = hash(one.payload)
        return kept, again

    def stored(self, messages: Sequence[Incoming]) -> None:
        """They are committed. Raises StoreUnavailable."""
        for known in (self._last, self._copied, self._compared):
            if len(known) > _TOPICS:
                known.clear()
        # Built-in functions only: this runs for every message of MQTT 3.1.1.
        topics = list(map(hash, map(_queue_and_topic, messages)))
        self._last.update(zip(topics, map(hash, map(_payload, messages)), strict=True))
        if any(map(_retain, messages)) or (self._noted and not self._compared.issuperset(topics)):
            self._note(messages, topics)

    def _note(self, messages: Sequence[Incoming], topics: Sequence[int]) -> None:
        """Note the last copy of each topic, and drop the note once another message has followed it."""
        changed = False
        for one, topic in zip(messages, topics, strict=True):
            if one.retain or topic not in self._compared:
                name = _digest(one.queue, one.topic)
                changed = self._noted.pop(name, None) is not None or changed
                if one.retain:
                    self._noted[name] = _digest(one.payload)
                    self._compared.discard(topic)
                    changed = True
                else:
                    self._compared.add(topic)
        for name in list(self._noted)[:-_TOPICS_NOTED]:
            del self._noted[name]
        if changed:
            self._notes.remember(self._key, json.dumps(self._noted, separators=(",", ":")))

    def _repeats(self, one: Incoming, topic: int, before: dict[int, int]) -> bool:
        """``before`` holds the last payload of each ``topic`` in the same batch."""
        if topic in self._copied:
            return False
        self._copied.add(topic)
        if not (self._again or one.queue in self._repeated):
            return False
        last = before.get(topic, self._last.get(topic))
        if last is not None:
            return last == hash(one.payload)
        return self._noted.get(_digest(one.queue, one.topic)) == _digest(one.payload)


def _digest(*parts: str | bytes) -> str:
    found = blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        data = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        found.update(len(data).to_bytes(8))
        found.update(data)
    return found.hexdigest()
