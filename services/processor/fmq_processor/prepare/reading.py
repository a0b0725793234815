"""Decodes and filters a message before its handler gets it.

This runs where the handler runs, so that it counts as handling and delays nothing else.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from fmq.handler import Handler
from fmq.message import Message, with_body
from fmq_processor.job import spread
from fmq_processor.prepare.decoding import NONE, Decode, Undecodable
from fmq_processor.prepare.filtering import Filter, Unfilterable
from fmq_processor.prepare.memory import NoRoom, Room, Share


@dataclass(frozen=True, slots=True)
class Skipped:
    """The filter did not let the message through."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The message can't be decoded, or the filter fails on it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Postponed:
    """The decoded values of other messages take the memory. Try again in ``delay`` seconds."""

    delay: float = 0.1


_SKIPPED, _POSTPONED = Skipped(), Postponed()
_Found = Message | Skipped | Unreadable | Postponed
_Read = Callable[[Message, Share], _Found]


def reading(handler: Handler, *, decode: Decode | None, admitted: Filter | None, room: Room) -> Handler:
    """``handler`` with decoding and a filter in front of it, or ``handler`` itself if there is neither.

    Decoded values take memory from ``room`` until the call has ended.
    """
    if not decode and not admitted:
        return handler
    read = _reader(decode, admitted, is_typed=handler.implied_decode != NONE)
    around = {
        (False, False): _around_plain,
        (True, False): _around_async,
        (False, True): _around_batch,
        (True, True): _around_async_batch,
    }[handler.is_async, handler.is_batch]
    return replace(handler, handle=around(handler.handle, read, room))


def _reader(decode: Decode | None, admitted: Filter | None, *, is_typed: bool) -> _Read:
    def read(message: Message, share: Share) -> _Found:
        before = share.begin()
        once: list[Message] = []

        def decoded() -> Message:
            if not once:
                once.append(with_body(message, decode(message, share)) if decode else message)
                if is_typed:  # the value of the handler's type takes about as much again
                    share.take(share.held - before)
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
        __tracebackhide__ = True
        share = room.share()
        try:
            found = read(message, share)
            return handle(found) if isinstance(found, Message) else found
        finally:
            share.end()

    return handle_read


def _around_async(handle: Callable[[Any], Any], read: _Read, room: Room) -> Callable[[Any], Any]:
    async def handle_read(message: Message) -> Any:  # noqa: ANN401 - whatever the handler returns
        __tracebackhide__ = True
        share = room.share()
        try:
            found = read(message, share)
            return await handle(found) if isinstance(found, Message) else found
        finally:
            share.end()

    return handle_read


def _around_batch(handle: Callable[[Any], Any], read: _Read, room: Room) -> Callable[[Any], Any]:
    def handle_read(messages: Sequence[Message]) -> Any:  # noqa: ANN401 - whatever the handler returns
        __tracebackhide__ = True
        with _batch(messages, read, room) as batch:
            if batch.let_through:
                with batch.catching():
                    batch.result = handle(batch.let_through)
            return batch.merged()

    return handle_read


def _around_async_batch(handle: Callable[[Any], Any], read: _Read, room: Room) -> Callable[[Any], Any]:
    async def handle_read(messages: Sequence[Message]) -> Any:  # noqa: ANN401 - whatever the handler returns
        __tracebackhide__ = True
        with _batch(messages, read, room) as batch:
            if batch.let_through:
                with batch.catching(but=asyncio.CancelledError):
                    batch.result = await handle(batch.let_through)
            return batch.merged()

    return handle_read


class _Batch:
    """A batch that was read: what the handler gets, and a result for each message."""

    def __init__(self, found: Sequence[_Found]) -> None:
        self._found = found
        self.let_through = [one for one in found if isinstance(one, Message)]
        self.result: Any = None

    @contextmanager
    def catching(self, but: type[BaseException] | tuple[()] = ()) -> Iterator[None]:
        """Take an exception as the handler's result, as a runner does: the other messages have their own results."""
        try:
            yield
        except but:
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            self.result = error

    def merged(self) -> Sequence[object]:
        """One result per message: the handler's for those that it got."""
        of_handler = iter(spread(self.result, len(self.let_through)))
        return [next(of_handler) if isinstance(one, Message) else one for one in self._found]


@contextmanager
def _batch(messages: Sequence[Message], read: _Read, room: Room) -> Iterator[_Batch]:
    share = room.share()
    try:
        yield _Batch([read(message, share) for message in messages])
    finally:
        share.end()
