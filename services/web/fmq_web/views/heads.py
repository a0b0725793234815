"""A message's head, as answers show it."""

from pydantic import TypeAdapter

from fmq.store.records import Head
from fmq.store.selection import State
from fmq_web.answers.messages import MessageHead, StateName
from fmq_web.showing.hexdump import hex_line
from fmq_web.showing.text import decode, flat

_NAMES: TypeAdapter[StateName] = TypeAdapter(StateName)
_HEX_BYTES = 64
_SHORT_REASON = 300


def message_head(head: Head, *, contents: bool, whole: bool = False) -> MessageHead:
    """``contents``: whether payloads may be shown. ``whole``: with all of its reason, which may have many lines."""
    text, is_binary = _beginning(head) if contents else ("", False)
    return MessageHead(
        id=str(head.id),
        queue=head.queue,
        topic=head.topic,
        state=state_name(head.state),
        received_at=head.received_at,
        size=head.size,
        head=text,
        head_is_binary=is_binary,
        qos=head.qos,
        retain=head.retain,
        retries=head.retry_count,
        settled_at=head.settled_at,
        due_in=head.due_in,
        lease_seconds=head.lease,
        reason=head.reason if whole else head.reason.lstrip().partition("\n")[0][:_SHORT_REASON],
    )


def state_name(state: State) -> StateName:
    """The state of one message. Raises ValueError for ANY, which no message has."""
    return _NAMES.validate_python(state.value)


def _beginning(head: Head) -> tuple[str, bool]:
    decoded = decode(head.payload, starts=True, ends=len(head.payload) >= head.size)
    return (hex_line(head.payload[:_HEX_BYTES]), True) if decoded is None else (flat(decoded[0]), False)
