"""Retained messages that come again only because the listener has subscribed again.

Every connection subscribes to all filters. In MQTT 5 that brings no retained message twice: Retain Handling 1 (section
3.8.3.1). In 3.1.1 a SUBSCRIBE to a filter that the session holds brings all of its retained messages again (section
3.8.4), with the RETAIN flag, which no other delivery has (section 3.3.1.3). Such a copy is not stored if it repeats what
its queue has got last of its topic; it is acknowledged, and counted as a duplicate. A copy that differs is stored: the
broker may have lost the subscription for a while.
"""

import json
from collections.abc import Sequence
from hashlib import blake2b
from operator import attrgetter, itemgetter

from fmq.message import Incoming
from fmq_listener.ledger import Memory

_TOPICS = 65_536
_TOPICS_NOTED = 16_384
_DIGEST_BYTES = 8
_queue_and_topic, _payload, _retain = itemgetter(0, 1), itemgetter(2), attrgetter("retain")


class Retained:
    """Knows the last message of each topic, in memory; and of those that came as retained, in a note in the store.

    Both are bounded: beyond it, a copy is stored once more.
    """

    def __init__(self, memory: Memory, *, session: str) -> None:
        self._memory = memory
        self._key = f"retained:{session}"
        self._repeated: frozenset[str] = frozenset()
        self._last: dict[tuple[str, str], int] = {}
        self._noted: dict[str, str] = {}

    def begin(self, *, repeated: frozenset[str]) -> None:
        """A connection stands. ``repeated``: queues whose filter the session has held before. Raises StoreUnavailable."""
        self._repeated = repeated
        try:
            found = json.loads(self._memory.recall(self._key) or "{}")
        except ValueError:
            found = {}
        self._noted = found if isinstance(found, dict) else {}

    def sift(self, messages: Sequence[Incoming]) -> tuple[Sequence[Incoming], Sequence[Incoming]]:
        """Those of ``messages`` to store, and those that repeat what is stored."""
        if not any(map(_retain, messages)):
            return messages, ()
        again = {at for at, one in enumerate(messages) if one.retain and self._repeats(one)}
        if not again:
            return messages, ()
        return (
            [one for at, one in enumerate(messages) if at not in again],
            [messages[at] for at in again],
        )

    def stored(self, messages: Sequence[Incoming]) -> None:
        """They are committed. Raises StoreUnavailable."""
        if len(self._last) > _TOPICS:
            self._last.clear()
        # Built-in functions only: this runs for every message of MQTT 3.1.1.
        self._last.update(zip(map(_queue_and_topic, messages), map(hash, map(_payload, messages)), strict=True))
        if any(map(_retain, messages)):
            for one in messages:
                if one.retain:
                    name = _digest(one.queue, one.topic)
                    self._noted.pop(name, None)
                    self._noted[name] = _digest(one.payload)
            for name in list(self._noted)[:-_TOPICS_NOTED]:
                del self._noted[name]
            self._memory.remember(self._key, json.dumps(self._noted, separators=(",", ":")))

    def _repeats(self, one: Incoming) -> bool:
        if one.queue not in self._repeated:
            return False
        last = self._last.get((one.queue, one.topic))
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
