"""What happens to a message before its handler gets it: decoded, and let through or not.

It runs where the handler runs, so that it counts as handling and holds up nothing else.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fmq.handler import Handler
from fmq.message import Message, with_body
from fmq.outcome import Cause, Dead, Done
from fmq_processor.decoding import Decode, Undecodable
from fmq_processor.filtering import Filter, Unfilterable
from fmq_processor.job import spread


@dataclass(frozen=True, slots=True)
class Skipped(Done):
    """Done without the handler: the filter did not let it through."""


@dataclass(frozen=True, slots=True)
class Unreadable(Dead):
    """Dead without the handler: it can't be decoded, or the filter has no answer for it."""

    cause: Cause = Cause.UNREADABLE


_SKIPPED = Skipped()
_Read = Callable[[Message], Message | Skipped | Unreadable]


def reading(handler: Handler, *, decode: Decode | None, admitted: Filter | None) -> Handler:
    """``handler`` with decoding and a filter before it; the same one if there is neither."""
    if not decode and not admitted:
        return handler
    read = _reader(decode, admitted)
    around = {
        (False, False): _around_plain,
        (True, False): _around_async,
        (False, True): _around_batch,
        (True, True): _around_async_batch,
    }[handler.is_async, handler.is_batch]
    return replace(handler, handle=around(handler.handle, read))


def _reader(decode: Decode | None, admitted: Filter | None) -> _Read:
    def read(message: Message) -> Message | Skipped | Unreadable:
        once: list[Message] = []

        def decoded() -> Message:
            if not once:
                once.append(with_body(message, decode(message)) if decode else message)
            return once[0]

        try:
            if admitted and not admitted.admits(message, lambda: decoded().body):
                return _SKIPPED
            return decoded()
        except (Undecodable, Unfilterable) as error:
            return Unreadable(str(error))

    return read


def _around_plain(handle: Callable[[Any], Any], read: _Read) -> Callable[[Any], Any]:
    def handle_read(message: Message) -> Any:  # noqa: ANN401 - whatever the handler returns
        found = read(message)
        return handle(found) if isinstance(found, Message) else found

    return handle_read


def _around_async(handle: Callable[[Any], Any], read: _Read) -> Callable[[Any], Any]:
    async def handle_read(message: Message) -> Any:  # noqa: ANN401 - whatever the handler returns
        found = read(message)
        return await handle(found) if isinstance(found, Message) else found

    return handle_read


def _around_batch(handle: Callable[[Any], Any], read: _Read) -> Callable[[Any], Any]:
    def handle_read(messages: Sequence[Message]) -> Any:  # noqa: ANN401 - whatever the handler returns
        found = [read(message) for message in messages]
        let_through = [one for one in found if isinstance(one, Message)]
        result: Any = None
        if let_through:
            try:
                result = handle(let_through)
            except BaseException as error:  # noqa: BLE001 - as a runner takes it: the others have results of their own
                result = error
        return _merged(found, let_through, result)

    return handle_read


def _around_async_batch(handle: Callable[[Any], Any], read: _Read) -> Callable[[Any], Any]:
    async def handle_read(messages: Sequence[Message]) -> Any:  # noqa: ANN401 - whatever the handler returns
        found = [read(message) for message in messages]
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

    return handle_read


def _merged(
    found: Sequence[Message | Skipped | Unreadable], let_through: Sequence[Message], result: object
) -> Sequence[object]:
    """One result each: the handler's for what it got."""
    of_handler = iter(spread(result, len(let_through)))
    return [next(of_handler) if isinstance(one, Message) else one for one in found]
