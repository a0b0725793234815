"""What the broker knows a listener's session by, if FMQ_CLIENT_ID does not say.

Made of the store's identity, so that two stores never share a session, and kept with the store by topic filter, so that
the order of the filters and those that come or go change nothing: another id would leave the messages behind that the
broker keeps for the old one. Letters, digits and one hyphen, 23 of them: every broker takes that (MQTT 5, 3.1.3.1).
"""

import json
import socket
from collections import Counter
from hashlib import blake2b
from itertools import count
from uuid import UUID
from zlib import crc32

from fmq_listener.ledger import Memory
from fmq_listener.settings import ListenerSettings

_LONGEST = 23
_PREFIX = "fmq-"
_SAFE_BEFORE = "-_."


class _Notes:
    """Which filters each id of this store is used for, and the other way round."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def id_of(self, text: str) -> str:
        return self._memory.recall(f"client id of:{text}") or ""

    def filters_of(self, client_id: str) -> list[str]:
        try:
            found = json.loads(self._memory.recall(f"filters of:{client_id}") or "[]")
        except ValueError:
            return []
        return [str(one) for one in found] if isinstance(found, list) else []

    def keep(self, client_id: str, texts: list[str]) -> None:
        before = self.filters_of(client_id)
        if before == texts and all(self.id_of(text) == client_id for text in texts):
            return
        for text in before:
            if text not in texts and self.id_of(text) == client_id:
                self._memory.remember(f"client id of:{text}", "")
        for text in texts:
            self._memory.remember(f"client id of:{text}", client_id)
        self._memory.remember(f"filters of:{client_id}", json.dumps(texts))


def choose(settings: ListenerSettings, memory: Memory, identity: UUID) -> str:
    """The client id of a listener with these settings on this store. Raises StoreUnavailable.

    It is the one that most of its filters were used with last; else the one that fmq 0.1 made, if this store has a note
    of its session; else a new one.
    """
    if settings.client_id:
        return settings.client_id
    notes = _Notes(memory)
    texts = sorted(settings.topics)
    used = Counter(found for text in texts if (found := notes.id_of(text)))
    chosen = max(used, key=lambda one: (used[one], one)) if used else None
    chosen = chosen or _of_version_0_1(settings, memory) or _new(identity, texts[0], notes)
    notes.keep(chosen, texts)
    return chosen


def _new(identity: UUID, text: str, notes: _Notes) -> str:
    for number in count():
        digest = blake2b(f"{identity}\n{number}\n{text}".encode(), digest_size=16).hexdigest()
        found = _PREFIX + digest[: _LONGEST - len(_PREFIX)]
        if not notes.filters_of(found):
            return found
    raise AssertionError  # count() does not end


def _of_version_0_1(settings: ListenerSettings, memory: Memory) -> str | None:
    """It was made of the host name and the first filter, whichever of them came first then."""
    host = "".join(c if c.isascii() and (c.isalnum() or c in _SAFE_BEFORE) else "-" for c in socket.gethostname())
    broker = settings.broker
    for text in settings.topics:
        found = f"fmq-{host[:32]}-{crc32(text.encode()):08x}"
        if memory.recall(f"subscriptions:{found}@{broker.host}:{broker.port}"):
            return found
    return None
