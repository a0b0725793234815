"""What the broker knows a listener's session by, if FMQ_CLIENT_ID does not say.

Made of the store's identity, so that two stores never share a session, and kept with the store by queue, so that the order
of the filters, those that come or go, and $share/GROUP/ in front of one change nothing: another id would leave the messages
behind that the broker keeps for the old one. Where another id is used all the same, a warning names the old one.
Letters, digits and one hyphen, 23 of them: every broker takes that (MQTT 5, 3.1.3.1).
"""

import json
import logging
import socket
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from itertools import count
from typing import Protocol
from uuid import UUID
from zlib import crc32

from fmq.log import shorten
from fmq_listener.ledger import Memory
from fmq_listener.settings import ListenerSettings

_log = logging.getLogger(__name__)
_LONGEST = 23
_PREFIX = "fmq-"
_SAFE_BEFORE = "-_."


class Store(Memory, Protocol):
    """The part of a Queue that keeps notes and knows its queues."""

    def names(self) -> Sequence[str]: ...


class _Notes:
    """Which queues each id of this store is used for, and the other way round."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def id_of(self, name: str) -> str:
        return self._memory.recall(f"client id of:{name}") or ""

    def names_of(self, client_id: str) -> list[str]:
        try:
            found = json.loads(self._memory.recall(f"queues of:{client_id}") or "[]")
        except ValueError:
            return []
        return [str(one) for one in found] if isinstance(found, list) else []

    def keep(self, client_id: str, names: list[str]) -> None:
        before = self.names_of(client_id)
        if before == names and all(self.id_of(name) == client_id for name in names):
            return
        for name in before:
            if name not in names and self.id_of(name) == client_id:
                self._memory.remember(f"client id of:{name}", "")
        for name in names:
            self._memory.remember(f"client id of:{name}", client_id)
        self._memory.remember(f"queues of:{client_id}", json.dumps(names))


def choose(settings: ListenerSettings, store: Store, identity: UUID) -> str:
    """The client id of a listener with these settings on this store. Raises StoreUnavailable.

    It is the one that most of its queues were filled with last; else the one that fmq 0.1 made, if this store has a note
    of its session; else a new one.
    """
    if settings.client_id:
        return settings.client_id
    notes = _Notes(store)
    names = sorted(one.name for one in settings.filters)
    used = Counter(found for name in names if (found := notes.id_of(name)))
    chosen = max(used, key=lambda one: (used[one], one)) if used else _of_version_0_1(settings, store)
    others = set(used)
    if chosen is None:
        chosen = _new(identity, names[0], notes)
        others = {found for name in store.names() if (found := notes.id_of(name))}
    for other in sorted(others - {chosen}):
        _warn_of(other, notes.names_of(other))
    notes.keep(chosen, names)
    return chosen


def _warn_of(client_id: str, names: list[str]) -> None:
    _log.warning(
        "The broker may still hold messages for the client id %s, which this store has used for %s. If no other listener uses it, "
        "take them with --leave and FMQ_CLIENT_ID=%s",
        client_id,
        shorten(", ".join(names)),
        client_id,
    )


def _new(identity: UUID, name: str, notes: _Notes) -> str:
    for number in count():
        digest = blake2b(f"{identity}\n{number}\n{name}".encode(), digest_size=16).hexdigest()
        found = _PREFIX + digest[: _LONGEST - len(_PREFIX)]
        if not notes.names_of(found):
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
