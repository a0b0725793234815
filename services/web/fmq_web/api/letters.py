"""Dead letters as JSON lines, in pieces: however large one is, little of it is in memory at once."""

import asyncio
import json
from base64 import b64encode
from codecs import getincrementaldecoder
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TypeVar

from fmq.message import DeadLetter, Message, MessageId
from fmq.message_json import letter_fields
from fmq.store.records import Detail
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq_web.http.problems import not_found
from fmq_web.stores import Stores
from fmq_web.views.payload import piece

_T = TypeVar("_T")
_AT_ONCE, _AT_ONCE_BYTES = 100, 1024 * 1024
_PIECE = 48 * 1024
"""In base64, pieces of a multiple of 3 bytes follow each other."""
_Utf8 = getincrementaldecoder("utf-8")


async def letters(stores: Stores, name: str, which: Selection) -> AsyncIterator[bytes]:
    """The lines of what is selected, oldest first. Each call of a store is short, so a slow reader keeps nothing busy.

    A letter that is not dead any more is left out. If it is deleted within its line, Problem 404 ends the answer before its end.
    """
    after: MessageId | None = None
    while True:
        ids, after = await _call(stores, partial(_found, name=name, which=which, after=after))
        while ids:
            first = await _call(stores, partial(_first, name=name, number=ids[0]))
            if first is not None and first.head.state is State.DEAD and first.head.size > _AT_ONCE_BYTES:
                async for part in _large(stores, name, first):
                    yield part
                ids = ids[1:]
            else:
                lines, ids = await _call(stores, partial(_lines, name=name, ids=ids))
                yield lines
        if after is None:
            return


async def _call(stores: Stores, what: Callable[[Store], _T]) -> _T:
    return await asyncio.wrap_future(stores.submit(what))


def _found(
    store: Store, name: str, which: Selection, after: MessageId | None
) -> tuple[Sequence[MessageId], MessageId | None]:
    found = store.find(name, which, after_id=after, limit=_AT_ONCE)
    return found.ids, found.after_id


def _first(store: Store, name: str, number: MessageId) -> Detail | None:
    return store.detail(name, number, head_bytes=0)


def _lines(store: Store, name: str, ids: Sequence[MessageId]) -> tuple[bytes, Sequence[MessageId]]:
    """The lines of the first of ``ids``, and the ids that are left. Holds 1 MiB of messages, or one that is larger."""
    found = store.dead_letters(name, ids, limit=len(ids), most_bytes=_AT_ONCE_BYTES)
    lines = "".join(f"{_json(letter_fields(one))}\n" for one in found)
    left = ids[ids.index(found[-1].message.id) + 1 :] if found else ()
    return lines.encode(), left


async def _large(stores: Stores, name: str, one: Detail) -> AsyncIterator[bytes]:
    """The line of one letter. Reads its payload twice, first to know whether it is text."""
    before, after = _around(one)
    parts = partial(_payload, stores, name, one)
    if await _is_text(parts()):
        yield f'{before}"payload":"'.encode()
        decoder = _Utf8()
        async for part in parts():
            yield json.dumps(decoder.decode(part))[1:-1].encode()
    else:
        yield f'{before}"payload":null,"payload_base64":"'.encode()
        async for part in parts():
            yield b64encode(part)
    yield f'",{after}\n'.encode()


async def _payload(stores: Stores, name: str, one: Detail) -> AsyncIterator[bytes]:
    for offset in range(0, one.head.size, _PIECE):
        length = min(_PIECE, one.head.size - offset)
        data = await _call(stores, partial(piece, name=name, message_id=str(one.head.id), offset=offset, length=length))
        if len(data) != length:
            raise not_found("The payload does not have this length any more.")
        yield data


async def _is_text(parts: AsyncIterator[bytes]) -> bool:
    decoder = _Utf8()
    try:
        async for part in parts:
            decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _around(one: Detail) -> tuple[str, str]:
    """What comes before and after the payload in the line of a letter."""
    head = one.head
    bare = Message(
        head.id, head.queue, head.topic, b"", head.received_at, head.qos, head.retain, head.retry_count, one.properties
    )
    fields = letter_fields(DeadLetter(bare, head.settled_at or 0.0, head.reason))
    names = list(fields)
    at = names.index("payload")
    before, after = ({key: fields[key] for key in some} for some in (names[:at], names[at + 1 :]))
    return f"{_json(before)[:-1]},", _json(after)[1:]


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
