"""Text and rows: what PostgreSQL can't hold is escaped, and rows become messages."""

from typing import Any

from fmq.message import NO_PROPERTIES, Message, Pause
from fmq.store.properties import readable_properties

MESSAGE_COLUMNS = (
    "message.id, message.topic, message.payload, message.received_at, message.qos, message.retain, message.properties"
)
MOST_RETRIES = 2**31 - 1


def storable(text: str) -> str:
    """``text`` without what a text of PostgreSQL can't hold, a NUL or a lone surrogate; each is escaped as in Python."""
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def decode_message(queue: str, row: tuple[Any, ...], failed: int) -> Message:
    """A row of MESSAGE_COLUMNS as a message."""
    number, topic, payload, received_at, qos, retain, properties = row
    return tuple.__new__(  # as Message(…) does, with a call less: this is done for each message
        Message,
        (
            number,
            queue,
            topic,
            payload,
            received_at,
            qos,
            retain,
            failed,
            NO_PROPERTIES if properties is None else readable_properties(properties),
        ),
    )


def decode_pause(since: float | None, reason: str | None) -> Pause | None:
    """A queue's ``paused_at`` and ``paused_reason``."""
    return None if since is None else Pause(since, reason or "")
