"""Messages on their way from one store to another, as bytes that the source keeps until they have arrived."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from fmq.errors import QueueError
from fmq.message import Message
from fmq.store.properties import decode_properties, encode_properties
from fmq.store.records import Attempt, StoredMessage
from fmq.store.selection import State

_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Parcel:
    """Messages that have left the source. ``run`` names the chain of parcels, of which ``number`` is one."""

    run: str
    number: int
    target: UUID
    keep_ids: bool
    messages: Sequence[StoredMessage]

    def pack(self) -> bytes:
        """As bytes: lines of JSON, each followed by a payload as it is, since base64 would take a third more."""
        parts = [_line([self.run, self.number, str(self.target), self.keep_ids])]
        for one in self.messages:
            parts += [_line(_row(one)), one.message.payload]
        digest = sha256()
        for part in parts:
            digest.update(part)
        return b"".join([digest.digest(), *parts])


def unpack(data: bytes) -> Parcel:
    """The inverse of ``Parcel.pack``. Raises QueueError for bytes that it did not write."""
    if sha256(memoryview(data)[_DIGEST_BYTES:]).digest() != data[:_DIGEST_BYTES]:
        raise QueueError("the messages on their way are damaged in the source: restore a backup of it")
    (run, number, target, keep_ids), at = _read_line(data, _DIGEST_BYTES)
    messages: list[StoredMessage] = []
    while at < len(data):
        (size, *row), at = _read_line(data, at)
        messages.append(_stored(row, data[at : at + size]))
        at += size
    return Parcel(run, number, UUID(target), keep_ids, messages)


def _row(one: StoredMessage) -> list[Any]:
    """What ``_stored`` reads. Unlike an exported line it takes any value: a source may have rows that nobody would write."""
    message = one.message
    return [
        len(message.payload),
        *message[:3],
        *message[4:8],
        encode_properties(message.properties),
        one.state.value,
        one.stored_at,
        one.due_at,
        one.settled_at,
        one.reason,
        [[each.number, each.at, each.cause, each.reason, each.worker] for each in one.attempts],
    ]


def _stored(row: Sequence[Any], payload: bytes) -> StoredMessage:
    (
        number,
        queue,
        topic,
        received_at,
        qos,
        retain,
        retries,
        properties,
        state,
        stored_at,
        due_at,
        settled_at,
        reason,
        attempts,
    ) = row
    message = Message(number, queue, topic, payload, received_at, qos, retain, retries, decode_properties(properties))
    known = tuple(Attempt(*each) for each in attempts)
    return StoredMessage(message, State(state), stored_at, due_at, settled_at, reason, known)


def _line(values: Sequence[Any]) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode("ascii") + b"\n"


def _read_line(data: bytes, start: int) -> tuple[list[Any], int]:
    end = data.index(b"\n", start)
    return json.loads(data[start:end]), end + 1


def content(one: StoredMessage) -> bytes:
    """A digest of what stays the same whatever becomes of a message: all but its id, its state and its attempts."""
    message = one.message
    # A store on PostgreSQL escapes what it can't hold.
    topic = message.topic.replace("\0", "\\x00").encode(errors="backslashreplace")
    head = (
        f"{message.queue}\n{message.received_at!r} {message.qos} {message.retain} {len(topic)} {len(message.payload)}\n"
    )
    digest = sha256(head.encode(errors="surrogatepass"))
    for part in (topic, message.payload, (encode_properties(message.properties) or "").encode()):
        digest.update(part)
    return digest.digest()
