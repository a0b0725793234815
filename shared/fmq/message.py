"""What is stored and what is lent: frozen values, no I/O."""

import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID, uuid5

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

LATEST_MOMENT = 253_402_300_800
"""Unix seconds from which on there is no date (the year 10000); milliseconds of today are far beyond it."""


@dataclass(frozen=True, slots=True)
class Properties:
    """The MQTT 5 properties of a PUBLISH that outlive its delivery (MQTT 5, section 3.3.2.3).

    Topic alias and subscription identifier belong to one connection and are not kept.

    ``raw`` is set only where a listener could not take the properties apart (docs/adr/0016): all of them as they came, from
    the property length on (section 2.2.2). The other fields then hold what stands before the fault.
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
        """About how many bytes of memory they take, rather more than fewer."""
        texts = len(self.content_type or "") + len(self.response_topic or "")
        pairs = sum([len(name) + len(value) for name, value in self.user_properties])
        binary = len(self.correlation_data or b"") + len(self.raw or b"")
        return 4 * (texts + pairs) + binary + 200 * len(self.user_properties)

    def user(self, name: str) -> str | None:
        """The first user property called ``name``, or None."""
        return next((value for key, value in self.user_properties if key == name), None)

    @property
    def trace(self) -> dict[str, str]:
        """The publisher's trace context as it gave it: ``traceparent``, and ``tracestate`` if there is one.

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
    """A PUBLISH on its way into a queue. A tuple, since a listener makes one per packet.

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
    """What an incoming message asks for beside being stored.

    ``key``: it is a duplicate if one with this key came into the same queue less than ``key_seconds`` ago. ``delay``: it is
    not lent before so many seconds have passed.
    """

    key: str | None = None
    key_seconds: float = 0.0
    delay: float = 0.0


class Receipt(NamedTuple):
    """What a listener needs to know of a commit if it is killed right after it: kept with the messages, in the same commit.

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

    id: int
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
        """About how many bytes of memory it takes, rather more than fewer: of payload, topic and properties."""
        size = len(self.payload) + 4 * len(self.topic)
        return size if self.properties is NO_PROPERTIES else size + self.properties.held_bytes

    @property
    def body(self) -> Any:  # noqa: ANN401 - whatever the payload was decoded to
        """What the processor decoded the payload to; without decoding, the payload."""
        return self.payload

    @property
    def text(self) -> str:
        """The payload as UTF-8 text. Raises UnicodeDecodeError."""
        return self.payload.decode()

    @property
    def unique_id(self) -> UUID:
        """What names this message among those of all queues and stores, the same at every attempt. See ``unique_id``.

        For handlers: raises RuntimeError in a process that is not a processor, where nobody has named the store.
        """
        if not _serving:
            raise RuntimeError("only a processor knows the store of its messages; elsewhere use fmq.message.unique_id")
        return unique_id(_serving[-1], self)

    @property
    def trace(self) -> dict[str, str]:
        """The publisher's trace context, as headers to send on; empty if it gave none. See ``Properties.trace``."""
        return self.properties.trace

    def json(self) -> Any:  # noqa: ANN401 - whatever the publisher wrote
        """The payload as JSON. Raises ValueError (JSONDecodeError, UnicodeDecodeError)."""
        return json.loads(self.payload)


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

    ``attempt`` counts from 1. ``suspect`` tells that the last attempt ended with its lease running out, so
    this message may be what killed or hung its worker: handle it with nothing else in hand. ``waited``: how many seconds the
    message had been in the store when it was lent, whatever the wall clock did meanwhile; only of one with properties, whose
    Message Expiry Interval counts from there.
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
    """A message given up, with the reason. ``dead_at`` is in Unix seconds."""

    message: Message
    dead_at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """How a pending message waits: it is due in ``due_in`` seconds; ``reason`` is why its last attempt failed, if one has."""

    due_in: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a queue lends nothing. ``since`` is in Unix seconds."""

    since: float
    reason: str


@dataclass(frozen=True, slots=True)
class QueueStats:
    """How a queue stands, in messages; read in constant time.

    ``pending`` includes messages that wait for a retry. ``done`` counts the handled messages that retention has
    not deleted yet, ``stored`` every message ever put. ``oldest_pending_at`` is a ``received_at`` or None.
    """

    name: str
    stored: int
    pending: int
    claimed: int
    done: int
    dead: int
    oldest_pending_at: float | None
    paused: Pause | None = None


@dataclass(frozen=True, slots=True)
class StoreStats:
    """How the store as a whole stands, in bytes."""

    database_bytes: int
    wal_bytes: int
    free_disk_bytes: int


_serving: list[UUID] = []
"""The identity of the store whose messages this process hands to its handler: one processor serves one store."""


def serve_store(identity: UUID) -> None:
    """Say whose messages this process handles from now on; ``identity`` is Queue.identity()."""
    _serving[:] = [identity]


def unique_id(store: UUID, message: Message) -> UUID:
    """What names ``message`` among those of all stores, the same at every attempt; ``store`` is Queue.identity().

    The time is part of it: a store that was restored from a backup gives ids out once more. A version 5 UUID (RFC 9562).
    """
    return uuid5(store, f"{message.queue}\n{message.id}\n{message.received_at!r}")
