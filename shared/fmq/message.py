"""Messages, claims and counters: frozen values, no I/O."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha1
from typing import Any, NamedTuple
from uuid import UUID

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

LATEST_MOMENT = 253_402_300_800
"""The first Unix time that is not a date any more (the year 10000). Milliseconds of today are far beyond it."""


MessageId = int
"""Identifies a message within its queue. Only the store may rely on more than equality: other code neither compares nor
calculates with ids."""


@dataclass(frozen=True, slots=True)
class Properties:
    """The MQTT 5 properties of a PUBLISH that outlive its delivery (MQTT 5, section 3.3.2.3).

    Topic alias and subscription identifier belong to one connection and are not kept.

    ``raw`` is set only if a listener could not parse the properties (docs/adr/0016): all their bytes, starting with the
    property length (section 2.2.2). The other fields then hold the properties before the fault.
    """

    payload_format_indicator: int | None = None
    message_expiry_interval: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    raw: bytes | None = None

    @property
    def held_bytes(self) -> int:
        """An upper estimate of the memory that they take, in bytes."""
        texts = len(self.content_type or "") + len(self.response_topic or "")
        pairs = sum([len(name) + len(value) for name, value in self.user_properties])
        binary = len(self.correlation_data or b"") + len(self.raw or b"")
        return 4 * (texts + pairs) + binary + 200 * len(self.user_properties)

    def user(self, name: str) -> str | None:
        """The first user property called ``name``, or None."""
        return next((value for key, value in self.user_properties if key == name), None)

    @property
    def trace(self) -> dict[str, str]:
        """The publisher's trace context: ``traceparent``, and ``tracestate`` if there is one.

        Empty without a valid ``traceparent`` (W3C Trace Context, section 3.2, in user properties as W3C Trace Context for
        MQTT says).
        """
        parent = self.user("traceparent")
        if parent is None or not _TRACEPARENT.fullmatch(parent):
            return {}
        state = self.user("tracestate")
        return {"traceparent": parent, "tracestate": state} if state else {"traceparent": parent}


NO_PROPERTIES = Properties()


class Incoming(NamedTuple):
    """A PUBLISH that is about to be stored. A tuple, since a listener makes one per packet.

    With a ``reason`` it is stored as a dead letter: no handler gets it before an operator requeues it.
    """

    queue: str
    topic: str
    payload: bytes
    received_at: float
    qos: int = 1
    retain: bool = False
    properties: Properties | None = None
    reason: str | None = None


class Terms(NamedTuple):
    """Options for storing an incoming message.

    ``key``: the message is a duplicate if one with the same key came into the same queue less than ``key_seconds`` ago.
    ``delay``: seconds before it is lent.
    """

    key: str | None = None
    key_seconds: float = 0.0
    delay: float = 0.0


class Receipt(NamedTuple):
    """What a listener needs to know about a commit if it is killed right after it. Stored in the same commit as the messages.

    ``number`` counts up within the ``session``; receipts numbered below ``first_kept`` are dropped.
    """

    session: str
    number: int
    data: bytes
    first_kept: int


class Message(NamedTuple):
    """One stored PUBLISH, as a handler gets it. A tuple, since a processor makes one per message.

    ``received_at`` is in Unix seconds; ``retry_count`` is the number of attempts that failed before this one.
    """

    id: MessageId
    queue: str
    topic: str
    payload: bytes
    received_at: float
    qos: int = 1
    retain: bool = False
    retry_count: int = 0
    properties: Properties = NO_PROPERTIES

    @property
    def held_bytes(self) -> int:
        """An upper estimate of the memory that payload, topic and properties take, in bytes."""
        size = len(self.payload) + 4 * len(self.topic)
        return size if self.properties is NO_PROPERTIES else size + self.properties.held_bytes

    @property
    def body(self) -> Any:  # noqa: ANN401 - whatever the payload was decoded to
        """The decoded payload; the payload itself if the processor does not decode."""
        return self.payload

    @property
    def text(self) -> str:
        """The payload as UTF-8 text. Raises UnicodeDecodeError."""
        return self.payload.decode()

    @property
    def unique_id(self) -> UUID:
        """An id that is unique among all queues and stores and the same in every attempt. See ``unique_id``.

        For handlers. Raises RuntimeError outside a processor, where the store is unknown.
        """
        if not _serving:
            raise RuntimeError("Only a processor knows the store of its messages. Elsewhere use fmq.message.unique_id")
        return unique_id(_serving[-1], self)

    @property
    def trace(self) -> dict[str, str]:
        """The publisher's trace context, as headers to send on. Empty without one. See ``Properties.trace``."""
        return self.properties.trace

    def json(self) -> Any:  # noqa: ANN401 - whatever the publisher wrote
        """The payload as JSON. Raises ValueError (JSONDecodeError, UnicodeDecodeError)."""
        return json.loads(self.payload)


def held_bytes(messages: Sequence[Message]) -> int:
    """The sum of their ``held_bytes``, at a third of its cost."""
    plain = sum([len(one.payload) + 4 * len(one.topic) for one in messages])
    return plain + sum([one.properties.held_bytes for one in messages if one.properties is not NO_PROPERTIES])


class _Decoded(Message):
    _body: Any

    @property
    def body(self) -> Any:  # noqa: ANN401 - as above
        return self._body


def with_body(message: Message, body: object) -> Message:
    """The same message with its payload decoded to ``body``."""
    decoded = _Decoded._make(message)
    decoded._body = body  # noqa: SLF001 - a tuple's constructor takes no more than its fields
    return decoded


class Claim(NamedTuple):
    """A message lent to one worker until ``lease_until`` (seconds of the store's own steady time).

    ``attempt`` counts from 1. ``suspect``: the lease of the last attempt ran out, so this message may have killed or hung its
    worker; handle it alone. ``waited``: seconds that the message had been in the store when it was lent, by the store's time.
    It is set only for messages with properties, since a Message Expiry Interval counts from there.
    """

    message: Message
    token: int
    lease_until: float
    suspect: bool = False
    waited: float = 0.0

    @property
    def attempt(self) -> int:
        return self.message.retry_count + 1


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up, with the reason. ``dead_at`` is in Unix seconds."""

    message: Message
    dead_at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """When a pending message is due, in seconds from now, and why its last attempt failed, if one did."""

    due_in: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a queue is paused. ``since`` is in Unix seconds."""

    since: float
    reason: str


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The counters of a queue, in messages. Read in constant time.

    ``pending`` includes messages that wait for a retry. ``done`` counts handled messages that retention has not deleted yet.
    Totals that only grow: ``stored`` counts stored messages, ``handled`` messages that became done, ``failed`` failed attempts,
    ``died`` messages that became dead letters. ``oldest_pending_at`` is a ``received_at`` or None.

    ``oldest_due_at`` is since when the message that has been due for longest has been due, in Unix seconds: since its receipt, the
    end of its delay, the time of its retry or the end of its last lease. None if no message is due. A message that is set aside
    for a route is due, since its receipt. The messages of a paused queue are due.
    """

    name: str
    stored: int
    pending: int
    claimed: int
    done: int
    dead: int
    oldest_pending_at: float | None
    paused: Pause | None = None
    handled: int = 0
    failed: int = 0
    died: int = 0
    oldest_due_at: float | None = None


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Sizes of the store, in bytes. None where the store can't know them, as for the disk of another host."""

    database_bytes: int
    wal_bytes: int | None
    free_disk_bytes: int | None


_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""By hexadecimal digit: the same one with the variant of a UUID in its upper bits (RFC 9562, section 5.5)."""

_serving: list[UUID] = []
"""The identity of the store whose messages this process handles: one processor serves one store."""


def serve_store(identity: UUID) -> None:
    """Set the store whose messages this process handles; ``identity`` is Notes.identity()."""
    _serving[:] = [identity]


def unique_id(store: UUID, message: Message) -> UUID:
    """An id of ``message`` that is unique among all stores and the same in every attempt; ``store`` is Notes.identity().

    It includes the time of receipt, since a store restored from a backup assigns ids again. A version 5 UUID (RFC 9562).
    """
    return UUID(unique_text(store, message))


def unique_text(store: UUID, message: Message) -> str:
    """``str(unique_id(store, message))``, in half of its time."""
    name = f"{message.queue}\n{message.id}\n{message.received_at!r}"
    # As uuid5(store, name), which makes an object for each.
    digits = sha1(_bytes_of(store) + name.encode(), usedforsecurity=False).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{_VARIANTS[digits[16]]}{digits[17:20]}-{digits[20:32]}"


@lru_cache(maxsize=16)
def _bytes_of(store: UUID) -> bytes:
    return store.bytes
