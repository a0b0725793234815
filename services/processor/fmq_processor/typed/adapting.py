"""Puts a handler with typed parameters behind the form that runners call: ``handle(message)`` or ``handle(messages)``."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any

from fmq.handler import Handler
from fmq.message import Message
from fmq.outcome import Cause, Dead
from fmq_processor.job import spread
from fmq_processor.prepare.decoding import NONE
from fmq_processor.typed.fitting import Misfit, fitting, implied_decoding
from fmq_processor.typed.parameters import Parameters, Takes, parameters_of
from fmq_processor.typed.state import State

_GOOD = object()
"""Stands for the result of a message that the handler gets."""


def adapted(handler: Handler) -> Handler:
    """``handler`` as runners and ``fmq_processor.prepare.reading`` take it. One that takes only messages costs nothing more.

    Raises HandlerError if it can't be called, or if its annotations are not usable.
    """
    state = State(handler.name, handler.setup, handler.teardown, is_async=handler.is_async)
    parameters = parameters_of(handler.name, handler.handle, state, is_batch=handler.is_batch)
    handle, decode = handler.handle, NONE
    if not parameters.is_plain:
        fit = fitting(handler.name, parameters.value) if parameters.takes_value else None
        decode = implied_decoding(parameters.value) if fit else NONE
        around = {
            (False, False): _around_plain,
            (True, False): _around_async,
            (False, True): _around_batch,
            (True, True): _around_async_batch,
        }[handler.is_async, handler.is_batch]
        handle = wraps(handle)(around(handle, _Arguments(parameters, fit, state)))
    return replace(handler, handle=handle, setup=state.setup, teardown=state.teardown, implied_decode=decode)


class _Arguments:
    """Makes the arguments of a call."""

    def __init__(self, parameters: Parameters, fit: Callable[[Any], Any] | None, state: State) -> None:
        self._positions = parameters.positions
        self._names = parameters.names
        self._fit = fit
        self._state = state

    def value(self, message: Message) -> Any:  # noqa: ANN401 - a value of the user's type
        """The payload as a value. None if the handler takes none. Raises Misfit, or what the user's validators raise."""
        return self._fit(message.body) if self._fit else None

    def of(self, message: object, value: object) -> tuple[list[Any], dict[str, Any]]:
        """The arguments by position and by name."""
        given = {Takes.MESSAGE: message, Takes.VALUE: value, Takes.STATE: self._state.value}
        return [given[one] for one in self._positions], {name: given[one] for name, one in self._names}


class _Batch:
    """A batch: the messages whose payloads fit, with the arguments of their call, and a result for each of the others."""

    def __init__(self, messages: Sequence[Message], arguments: _Arguments) -> None:
        values: list[Any] = []
        self.messages: list[Message] = []
        self._results: list[object] = []
        for message in messages:
            try:
                values.append(arguments.value(message))
            except Misfit as misfit:
                self._results.append(_dead(misfit))
            except Exception as error:  # noqa: BLE001 - the user's validators: the other messages have their own results
                self._results.append(error)
            else:
                self._results.append(_GOOD)
                self.messages.append(message)
        self.positions, self.names = arguments.of(self.messages, values)
        self.result: Any = None

    @property
    def is_mixed(self) -> bool:
        """Whether some messages do not reach the handler."""
        return len(self.messages) < len(self._results)

    def merged(self) -> list[object]:
        """One result per message: the handler's for those that it got."""
        of_handler = iter(spread(self.result, len(self.messages)))
        return [next(of_handler) if one is _GOOD else one for one in self._results]


def _dead(misfit: Misfit) -> Dead:
    return Dead(str(misfit), Cause.UNREADABLE)


def _around_plain(handle: Callable[..., Any], arguments: _Arguments) -> Callable[[Message], Any]:
    def handle_typed(message: Message) -> Any:  # noqa: ANN401 - whatever the handler returns
        __tracebackhide__ = True
        try:
            value = arguments.value(message)
        except Misfit as misfit:
            return _dead(misfit)
        positions, names = arguments.of(message, value)
        return handle(*positions, **names)

    return handle_typed


def _around_async(handle: Callable[..., Any], arguments: _Arguments) -> Callable[[Message], Any]:
    async def handle_typed(message: Message) -> Any:  # noqa: ANN401 - as above
        __tracebackhide__ = True
        try:
            value = arguments.value(message)
        except Misfit as misfit:
            return _dead(misfit)
        positions, names = arguments.of(message, value)
        return await handle(*positions, **names)

    return handle_typed


def _around_batch(handle: Callable[..., Any], arguments: _Arguments) -> Callable[[Sequence[Message]], Any]:
    def handle_typed(messages: Sequence[Message]) -> Any:  # noqa: ANN401 - as above
        __tracebackhide__ = True
        batch = _Batch(messages, arguments)
        if not batch.is_mixed:
            return handle(*batch.positions, **batch.names)
        if batch.messages:
            try:
                batch.result = handle(*batch.positions, **batch.names)
            except BaseException as error:  # noqa: BLE001 - as a runner does: the other messages have their own results
                batch.result = error
        return batch.merged()

    return handle_typed


def _around_async_batch(handle: Callable[..., Any], arguments: _Arguments) -> Callable[[Sequence[Message]], Any]:
    async def handle_typed(messages: Sequence[Message]) -> Any:  # noqa: ANN401 - as above
        __tracebackhide__ = True
        batch = _Batch(messages, arguments)
        if not batch.is_mixed:
            return await handle(*batch.positions, **batch.names)
        if batch.messages:
            try:
                batch.result = await handle(*batch.positions, **batch.names)
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001 - as above
                batch.result = error
        return batch.merged()

    return handle_typed
