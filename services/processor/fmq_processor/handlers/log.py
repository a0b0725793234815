"""The default handler: logs each message, so that a processor does something before any code is written."""

import codecs
import logging

from fmq.message import Message
from fmq.service.log import shorten

_log = logging.getLogger(__name__)
_HEAD_BYTES = 1024  # 10 MiB are not decoded for the sake of 200 characters
_SHOWN = 200
_BLANKS = str.maketrans("\t\r\n", "   ")


def handle(message: Message) -> None:
    """Log a message at INFO."""
    _log.info(
        "Message %d on %s: %s",
        message.id,
        shorten(message.topic),
        describe(message.payload),
        extra={"queue": message.queue, "message_id": message.id},
    )


def describe(payload: bytes) -> str:
    """The payload as shortened text, or its size if it is not text."""
    head = payload[:_HEAD_BYTES]
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        text = decoder.decode(head, final=len(head) == len(payload))
    except UnicodeDecodeError:
        text = ""
    if not text.translate(_BLANKS).isprintable() or not text:
        return f"{len(payload)} bytes"
    return text if len(text) <= _SHOWN and len(head) == len(payload) else f"{text[:_SHOWN]}… ({len(payload)} bytes)"
