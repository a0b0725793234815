"""One message: its properties, its attempts, its life."""

from collections.abc import Sequence
from dataclasses import fields

from fmq.clock import Clock
from fmq.message import Properties
from fmq.store.records import Attempt, Detail, Head
from fmq.store.roles import Operating
from fmq.store.selection import State
from fmq.text import counted
from fmq_web.answers.messages import AttemptView, MessageView, Property, Step
from fmq_web.http.problems import not_found
from fmq_web.showing.hexdump import hex_line
from fmq_web.showing.text import flat
from fmq_web.showing.words import duration
from fmq_web.views.asking import about
from fmq_web.views.heads import message_head

_GREATEST_ID = 2**63 - 1
_PROPERTY_BYTES = 1024 * 1024
"""Enough for all but user properties: those with the longest texts have 400 KiB of JSON each."""
MOST_PROPERTIES = 100
LONGEST_PROPERTY = 1_000
"""A publisher decides how many properties there are, and how long each is: up to a whole packet of them."""


def message_view(store: Operating, clock: Clock, name: str, message_id: str, *, contents: bool = True) -> MessageView:
    """``contents``: whether payload and properties may be shown. Raises Problem 404."""
    found = detail(store, name, message_id, property_bytes=_PROPERTY_BYTES)
    return MessageView(
        head=message_head(found.head, contents=contents, whole=True),
        properties=_properties(found.properties)[:MOST_PROPERTIES] if contents else [],
        more_properties=max(0, _count(found.properties) - MOST_PROPERTIES) if contents else 0,
        still_more_properties=found.has_more and contents,
        attempts=[
            AttemptView(number=one.number, at=one.at, cause=one.cause, reason=one.reason, worker=one.worker)
            for one in found.attempts
        ],
        life=_life(found.head, found.attempts, clock.wall()),
    )


def number_of(message_id: str) -> int:
    """The id that an answer gave as text. Raises Problem 404 if there can't be such a message."""
    if not (message_id.isascii() and message_id.isdecimal()) or len(message_id) > 19 or int(message_id) > _GREATEST_ID:
        raise not_found("No message has this id.")
    return int(message_id)


def detail(store: Operating, name: str, message_id: str, *, head_bytes: int = 200, property_bytes: int = 0) -> Detail:
    """A message without its payload, and with ``property_bytes`` of its properties. Raises Problem 404 if the queue or the message does not exist (any more)."""
    number = number_of(message_id)
    with about(name):
        found = store.detail(name, number, head_bytes=head_bytes, property_bytes=property_bytes)
    if found is None:
        raise not_found(f"Message {number} is not in this queue any more.")
    return found


def _properties(properties: Properties) -> list[Property]:
    """All but most of many user properties."""
    found = []
    for name in _named(properties):
        value = getattr(properties, name)
        shown = hex_line(value[:LONGEST_PROPERTY]) if isinstance(value, bytes) else _cut(str(value))
        found.append(Property(name=name, value=shown, user=False))
    users = properties.user_properties[:MOST_PROPERTIES]
    return found + [Property(name=_cut(key), value=_cut(text), user=True) for key, text in users]


def _count(properties: Properties) -> int:
    return len(_named(properties)) + len(properties.user_properties)


def _named(properties: Properties) -> list[str]:
    names = [field.name for field in fields(properties) if field.name != "user_properties"]
    return [name for name in names if getattr(properties, name) is not None]


def _cut(text: str) -> str:
    """The start of a long text, and how long it is."""
    return (
        flat(text) if len(text) <= LONGEST_PROPERTY else f"{flat(text[:LONGEST_PROPERTY])}… ({len(text):,} characters)"
    )


def _life(head: Head, attempts: Sequence[Attempt], now: float) -> list[Step]:
    """In the order in which it happened, whatever the clock said. The last step of a message that is not settled is to come."""
    size = counted(head.size, "byte")
    life = [Step(what="received", at=head.received_at, text=f"Received with {size}, QoS {head.qos}")]
    expected = 1
    for one in attempts:
        if one.number > expected:
            gap = (
                f"attempts {expected} to {one.number - 1} are"
                if one.number > expected + 1
                else f"attempt {expected} is"
            )
            text = f"{gap[0].upper()}{gap[1:]} not kept"
            life.append(Step(what="tried", at=life[-1].at, text=text))
        expected = one.number + 1
        who = f" by {flat(one.worker)}" if one.worker else ""
        life.append(Step(what="tried", at=one.at, text=f"Attempt {one.number}{who} failed: {_short(one.reason)}"))
    last = _last(head, now)
    return life if last is None else [*life, last]


def _last(head: Head, now: float) -> Step | None:
    if head.state is State.DONE:
        return Step(what="handled", at=head.received_at if head.settled_at is None else head.settled_at, text="Handled")
    if head.state is State.DEAD:
        at = head.received_at if head.settled_at is None else head.settled_at
        return Step(what="dead", at=at, text=f"Moved to dead letters: {_short(head.reason)}")
    if head.state is State.CLAIMED:
        left = head.lease or 0.0
        text = f"Lent to a processor; its lease ends in {duration(left)}"
        if left < 0:
            text = f"Lent to a processor whose lease ran out {duration(-left)} ago"
        return Step(what="lent", at=now + left, text=text)
    if head.state is State.DELAYED:
        due = head.due_in or 0.0
        return Step(what="delayed", at=now + due, text=f"Due in {duration(due)}")
    return None


def _short(reason: str) -> str:
    return flat(reason.lstrip().partition("\n")[0])[:300]
