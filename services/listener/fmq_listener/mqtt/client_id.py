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
from collections.abc import Container, Mapping
from hashlib import blake2b
from itertools import count
from typing import Protocol
from uuid import UUID
from zlib import crc32

from fmq.service.log import shorten
from fmq.store.roles import Identity, Statistics
from fmq_listener.settings import ListenerSettings

_log = logging.getLogger(__name__)
_LONGEST = 23
_PREFIX = "fmq-"
_SAFE_BEFORE = "-_."
_NOTE = "client ids"


class _Store(Identity, Statistics, Protocol):
    """Keeps notes and knows its queues."""


def choose(settings: ListenerSettings, store: _Store, identity: UUID) -> str:
    """The client id of a listener with these settings on this store. Raises StoreUnavailable.

    It is the one that most of its queues were filled with last; else the one that fmq 0.1 made, if this store has a note
    of its session; else a new one.
    """
    if settings.client_id:
        return settings.client_id
    names = sorted(one.name for one in settings.filters)
    while True:
        note = store.recall(_NOTE)
        known = _read(note)
        chosen, others = _pick(settings, store, identity, known)
        kept = {one: [name for name in of_it if name not in names] for one, of_it in known.items()}
        new = json.dumps({one: of_it for one, of_it in kept.items() if of_it} | {chosen: names})
        if new == note or store.exchange(_NOTE, note, new):  # else another listener has started at the same moment
            break
    for other in sorted(others):
        _warn_of(other, known[other])
    return chosen


def _read(note: str | None) -> dict[str, list[str]]:
    """The queues that each id is used for. A note that can't be read counts as empty."""
    try:
        found = json.loads(note or "{}")
    except ValueError:
        return {}
    entries = found.items() if isinstance(found, dict) else ()
    return {str(one): [str(name) for name in names] for one, names in entries if isinstance(names, list)}


def _pick(
    settings: ListenerSettings, store: _Store, identity: UUID, known: Mapping[str, list[str]]
) -> tuple[str, set[str]]:
    """The id to use, and others that may have messages of their own at the broker."""
    names = sorted(one.name for one in settings.filters)
    used = Counter({one: count for one, of_it in known.items() if (count := len(set(of_it).intersection(names)))})
    if used:
        chosen = max(used, key=lambda one: (used[one], one))
        return chosen, set(used) - {chosen}
    return _of_version_0_1(settings, store, known) or _new(identity, names[0], known), set(known)


def _warn_of(client_id: str, names: list[str]) -> None:
    _log.warning(
        "The broker may still hold messages for the client id %s, which this store has used for %s. If no other listener uses it, "
        "take them with --leave and FMQ_CLIENT_ID=%s",
        client_id,
        shorten(", ".join(names)),
        client_id,
    )


def _new(identity: UUID, name: str, known: Container[str]) -> str:
    for number in count():
        digest = blake2b(f"{identity}\n{number}\n{name}".encode(), digest_size=16).hexdigest()
        found = _PREFIX + digest[: _LONGEST - len(_PREFIX)]
        if found not in known:
            return found
    raise AssertionError  # count() does not end


def _of_version_0_1(settings: ListenerSettings, store: _Store, known: Container[str]) -> str | None:
    """It was made of the host name and the first filter, whichever of them came first then; it may have been removed."""
    host = "".join(c if c.isascii() and (c.isalnum() or c in _SAFE_BEFORE) else "-" for c in socket.gethostname())
    broker = settings.broker
    for text in dict.fromkeys([*settings.topics, *store.names()]):
        found = f"fmq-{host[:32]}-{crc32(text.encode()):08x}"
        if found in known:  # by another listener
            continue
        note = store.recall(f"subscriptions:{found}@{broker.host}:{broker.port}")
        if note and (text in settings.topics or any(json.dumps(one) in note for one in settings.topics)):
            return found
    return None
