"""What happens to a message before its handler gets it: decoded, and let through or not.

It runs where the handler runs, so that it counts as handling and holds up nothing else.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fmq.handler import Handler
from fmq.message import Message, with_body
from fmq.outcome import Cause, Dead, Done, GiveBack
from fmq_processor.decoding import Decode, Undecodable
from fmq_processor.filtering import Filter, Unfilterable
from fmq_processor.job import spread
from fmq_processor.room import NoRoom, Room, Share


@dataclass(frozen=True, slots=True)
class Skipped(Done):
    """Done without the handler: the filter did not let it through."""


@dataclass(frozen=True, slots=True)
class Unreadable(Dead):
    """Dead without the handler: it can't be decoded, or the filter has no answer for it."""

    cause: Cause = Cause.UNREADABLE


@dataclass(frozen=True, slots=True)
class Postponed(GiveBack):
    """Not tried: the values of other messages take the memory that there is for them."""

    delay: float | None = 0.1


_SKIPPED, _POSTPONED = Skipped(), Postponed()
_Found = Message | Skipped | Unreadable | Postponed
_Read = Callable[[Message, Share], _Found]


def reading(handler: Handler, *, decode: Decode | None, admitted: Filter | None, room: Room) -> Handler:
    """``handler`` with decoding and a filter before it; the same one if there is neither.

    What is decoded takes its part of ``room`` until the call has ended.
    """
    if not decode and not admitted:
        return handler
    read = _reader(decode, admitted)
    around = {
        (False, False): _around_plain,
        (True, False): _around_async,
        (False, True): _around_batch,
        (True, True): _around_async_batch,
    }[handler.is_async, handler.is_batch]
    return replace(handler, handle=around(handler.handle, read, room))


def _reader(decode: Decode | None, admitted: Filter | None) -> _Read:
    def read(message: Message, share: Share) -> _Found:
        before = share.begin()
        once: list[Message] = []

        def decoded() -> Message:
            if not once:
                once.append(with_body(message, decode(message, share)) if decode else message)
            return once[0]

        try:
            if admitted and not admitted.admits(message, lambda: decoded().body):
                share.shrink(before)
                return _SKIPPED
            return decoded()
        except NoRoom:
            share.shrink(before)
            return _POSTPONED
        except (Undecodable, Unfilterable) as error:
            share.shrink(before)
            return Unreadable(str(error))

    return read


def _around_plain(handle: Callable[[Any], Any], read: _Read, room: Room) -> Callable[[Any], Any]:
    def handle_read(message: Message) -> Any:  # noqa: ANN401 - whatever the handler returns
        share = room.share()
        try:
            found = read(message, share)
            return handle(found) if isinstance(found, Message) else found
        finally:
            share.end()

    return handle_read


def _around_async(handle: Callable[[Any], Any], read: _Read, room: Room) -> Callable[[Any], Any]:
    async def handle_read(message: Message) -> Any:  # noqa: ANN401 - whatever the handler returns
        share = room.share()
        try:
            found = read(message, share)
            return await handle(found) if isinstance(found, Message) else found
        finally:
            share.end()

    return handle_read


def _around_batch(handle: Callable[[Any], Any], read: _Read, room: Room) -> Callable[[Any], Any]:
    def handle_read(messages: Sequence[Message]) -> Any:  # noqa: ANN401 - whatever the handler returns
        share = room.share()
        try:
            found = [read(message, share) for message in messages]
            let_through = [one for one in found if isinstance(one, Message)]
            result: Any = None
            if let_through:
                try:
                    result = handle(let_through)
                except BaseException as error:  # noqa: BLE001 - as a runner takes it: the others have results of their own
                    result = error
            return _merged(found, let_through, result)
        finally:
            share.end()

    return handle_read


def _around_async_batch(handle: Callable[[Any], Any], read: _Read, room: Room) -> Callable[[Any], Any]:
    async def handle_read(messages: Sequence[Message]) -> Any:  # noqa: ANN401 - whatever the handler returns
        share = room.share()
        try:
            found = [read(message, share) for message in messages]
            let_through = [one for one in found if isinstance(one, Message)]
            result: Any = None
            if let_through:
                try:
                    result = await handle(let_through)
                except asyncio.CancelledError:
                    raise
                except BaseException as error:  # noqa: BLE001 - as above
                    result = error
            return _merged(found, let_through, result)
        finally:
            share.end()

    return handle_read


def _merged(found: Sequence[_Found], let_through: Sequence[Message], result: object) -> Sequence[object]:
    """One result each: the handler's for what it got."""
    of_handler = iter(spread(result, len(let_through)))
    return [next(of_handler) if isinstance(one, Message) else one for one in found]
