"""Rows as messages, whatever somebody's own SQL has put into them."""

import logging
import math
from contextlib import suppress
from typing import Any
from uuid import UUID

from fmq.message import NO_PROPERTIES, Message, Pause, Properties
from fmq.store.properties import readable_properties

MESSAGE_COLUMNS = "id, topic, payload, received_at, qos, retain, retry_count, properties, changed_at"
ANY_COLUMNS = ", ".join(
    f"iif(typeof({name}) = 'text', CAST({name} AS BLOB), {name})" for name in MESSAGE_COLUMNS.split(", ")
)
"""The same, for rows whose text may not be UTF-8: each text as its bytes."""
MOST_RETRIES = 2**31 - 1
NUMBER = "iif(typeof({0}) IN ('real', 'integer'), {0}, NULL)"
START = "ifnull(substr(CAST({0} AS BLOB), 1, {1}), x'')"
"""The first bytes of a text: empty if it is NULL or empty, for which SQLite's substr returns NULL."""

TOPIC_FACTOR, PROPERTIES_FACTOR = 4, 20
MOST_AT_SIGHT = 64 * 1024
"""The longest payload or properties, in bytes, that are read before it is known whether their message is wanted."""

_log = logging.getLogger(__name__)


def held_bytes(row: str) -> str:
    """SQL for how many bytes of memory a message takes: of the table or alias ``row``, without reading what is long.

    As ``Message.held_bytes``, from above: each pair of user properties, `["ab","cd"],` with its comma, becomes a tuple and
    two strings of about 200 bytes, and one character beyond the BMP makes a string take four bytes for each of them.
    """
    return (
        f"octet_length({row}.payload) + {TOPIC_FACTOR} * octet_length({row}.topic) "
        f"+ {PROPERTIES_FACTOR} * ifnull(octet_length({row}.properties), 0)"
    )


def decode_message(queue: str, row: tuple[Any, ...]) -> Message:
    """A row of ``MESSAGE_COLUMNS`` or ``ANY_COLUMNS`` as a message.

    Never fails: rows may have been written by somebody's own SQL, into tables of older versions, which let every type pass.
    """
    number, topic, payload, received_at, qos, retain, retry_count, properties, _ = row
    if type(topic) is str and type(received_at) is float and type(retry_count) is int and type(payload) is bytes:
        # As Message(…) does, with a call less: this is done for each message.
        return tuple.__new__(
            Message,
            (
                number,
                queue,
                topic,
                payload,
                received_at,
                1 if qos is None else qos,
                retain == 1,
                retry_count,
                NO_PROPERTIES if properties is None else properties_of(properties),
            ),
        )
    return Message(
        number,
        queue,
        as_text(topic),
        payload if isinstance(payload, bytes) else str(payload).encode(),
        as_number(received_at),
        qos if qos in (0, 1, 2) else 1,
        retain == 1,
        min(max(int(as_number(retry_count)), 0), MOST_RETRIES),
        NO_PROPERTIES if properties is None else properties_of(properties),
    )


def as_text(value: object) -> str:
    """Whatever stands in a column of text; what is not UTF-8 in it is replaced."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def as_number(value: object) -> float:
    """Whatever stands in a column of numbers, or in JSON; 0 if it is none, or too large for a float."""
    with suppress(OverflowError):
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0
    return 0.0


def as_count(value: object) -> int:
    """Whatever stands in a counter."""
    return value if type(value) is int else max(0, int(as_number(value)))


def as_pause(since: object, reason: object) -> Pause | None:
    """Whatever stands in a queue's ``paused_at`` and, as bytes, in its ``paused_reason``."""
    return None if since is None else Pause(as_number(since), as_text(reason or b""))


def as_identity(text: str | None) -> UUID | None:
    """A store's identity; None without one, or with one that somebody has changed beyond reading."""
    with suppress(ValueError):
        return None if text is None else UUID(text)
    _log.warning("The identity of the store can't be read, so it gets a new one: %.100r", text)
    return None


def properties_of(text: object) -> Properties:
    """Whatever stands in a column of properties."""
    return readable_properties(None if text is None else as_text(text))
