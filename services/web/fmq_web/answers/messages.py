"""Messages, their payloads and dead letters."""

from typing import Literal

from fmq_web.answers.base import Answer

StateName = Literal["pending", "delayed", "claimed", "done", "dead"]


class MessageHead(Answer):
    """A message with the first bytes of its payload."""

    id: str
    queue: str
    topic: str
    state: StateName
    received_at: float
    size: int
    """Of the whole payload, in bytes."""
    head: str
    """The first bytes as text, with marked escapes (fmq_web.showing.text). Empty if contents are hidden."""
    head_is_binary: bool
    """The head is hexadecimal, since the payload is not UTF-8."""
    qos: int
    retain: bool
    retries: int
    settled_at: float | None
    due_in: float | None
    lease_seconds: float | None
    reason: str


class MessagePage(Answer):
    """One step through messages, newest first."""

    queue: str
    messages: list[MessageHead]
    looked_at: int
    total: int | None
    """How many messages are in this state, if a counter knows it."""
    before: str | None
    """An opaque cursor for the next step; None at the end."""


class AttemptView(Answer):
    """A failed attempt."""

    number: int
    at: float
    cause: str
    reason: str
    worker: str


class Step(Answer):
    """One moment in a message's life: received, tried, delayed, lent, handled, dead."""

    what: Literal["received", "tried", "delayed", "lent", "handled", "dead"]
    at: float
    text: str


class Property(Answer):
    """An MQTT 5 property. A user property's name is as the publisher wrote it."""

    name: str
    value: str
    user: bool


class MessageView(Answer):
    """One message, whole but for its payload."""

    head: MessageHead
    properties: list[Property]
    """The first 100, each shortened to 1,000 characters."""
    more_properties: int
    """How many of those that were looked at are left out."""
    still_more_properties: bool
    """There are others: only the first MiB was looked at."""
    attempts: list[AttemptView]
    life: list[Step]


class PayloadWindow(Answer):
    """A part of a payload: at most 64 KiB."""

    offset: int
    length: int
    """Of this part, in bytes of the payload."""
    size: int
    kind: Literal["json", "text", "hex"]
    """How ``text`` shows it. JSON only if the whole payload is in this window."""
    text: str


class DeadGroup(Answer):
    """Dead letters whose reasons have one fingerprint."""

    queue: str
    fingerprint: str
    count: int
    first_at: float
    last_at: float
    reason: str
    """That of the last one."""


class DeadGroups(Answer):
    """One step through dead letters, grouped."""

    queue: str | None
    groups: list[DeadGroup]
    looked_at: int
    total: int
    before: str | None


class Publication(Answer):
    """A message that was published again: the broker has acknowledged it."""

    broker: str
    """Its address."""
    topic: str
    qos: int
    """At least 1, since a broker does not acknowledge QoS 0."""
    retained: bool
    with_properties: bool
    """False with MQTT 3.1.1, which has none."""
    nobody_subscribes: bool
    """The broker says that nobody subscribes to the topic. Not every broker does."""


class Receipt(Answer):
    """What an action on messages did."""

    changed: int
