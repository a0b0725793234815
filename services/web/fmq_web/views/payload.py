"""Payloads, a window at a time: large ones must not fill anybody's memory."""

from collections.abc import Iterator

from fmq.store.roles import Operating
from fmq_web.answers.messages import PayloadWindow
from fmq_web.http.problems import not_found
from fmq_web.showing.hexdump import hexdump
from fmq_web.showing.json_tree import json_lines
from fmq_web.showing.text import decode, flat, left_out
from fmq_web.views.asking import about, require_contents
from fmq_web.views.message import detail, number_of

WINDOW = 64 * 1024
SMALLEST = 4
"""Room for one character."""


def window(
    store: Operating, name: str, message_id: str, offset: int = 0, length: int = WINDOW, *, contents: bool = True
) -> PayloadWindow:
    """A part of a payload, for people. The next one starts at ``offset + length`` of the answer.

    ``length`` is from SMALLEST to WINDOW. An answer may start a little later and end a little earlier than asked, so that no character is cut. Raises Problem: 404
    without such a message, 403 if contents are hidden.
    """
    require_contents(shown=contents)
    size = detail(store, name, message_id, head_bytes=0).head.size
    offset = min(offset, size)
    data = piece(store, name, message_id, offset, max(SMALLEST, min(length, WINDOW)))
    is_last = offset + len(data) >= size
    decoded = decode(data, starts=offset == 0, ends=is_last)
    if decoded is None or (data and not decoded[0]):
        return PayloadWindow(offset=offset, length=len(data), size=size, kind="hex", text=hexdump(data, offset=offset))
    text, skipped = decoded
    lines = json_lines(text) if offset == 0 and is_last else None
    return PayloadWindow(
        offset=offset + skipped,
        length=len(data) - skipped - (0 if is_last else left_out(data)),
        size=size,
        kind="text" if lines is None else "json",
        text=flat(text, lines=True) if lines is None else "\n".join(map(str, lines)),
    )


def piece(store: Operating, name: str, message_id: str, offset: int, length: int) -> bytes:
    """A part of a payload as it is. Raises Problem 404."""
    with about(name):
        data = store.payload(name, number_of(message_id), offset, length)
    if data is None:
        raise not_found("No message in this queue has this id any more.")
    return data


def pieces(size: int) -> Iterator[tuple[int, int]]:
    """Offset and length of the windows of a payload."""
    return ((offset, min(WINDOW, size - offset)) for offset in range(0, size, WINDOW))
