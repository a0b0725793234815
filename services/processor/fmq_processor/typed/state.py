"""What a handler's ``setup()`` made, from the first message to the last."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import wraps
from types import NoneType
from typing import Any, get_args

from fmq.errors import HandlerError
from fmq_processor.typed.annotations import MISSING, Unresolved, annotation_of, yielded_by

_Hook = Callable[..., Any] | None


class State:
    """Runs the user's ``setup`` and ``teardown``, and keeps what ``setup`` returned or yielded as ``value``."""

    def __init__(self, name: str, setup: _Hook, teardown: _Hook, *, is_async: bool) -> None:
        """``name`` and ``is_async`` are those of the handler. Raises HandlerError if the hooks don't fit together."""
        self.value: Any = None
        self.unclear = ""
        """Why the type of the value is unknown. Empty if it is known, or if there is none."""
        self._type: Any = MISSING
        self._setup = setup
        self._teardown = teardown
        self._generator: Any = None
        plain = None if setup is None else inspect.unwrap(setup)  # contextlib.contextmanager hides that it yields
        self._yields = inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain)
        if inspect.isasyncgenfunction(plain) and not is_async:
            raise HandlerError(f"the handler {name!r} is not async, so its setup() can't be an async generator")
        if self._yields and teardown is not None:
            raise HandlerError(
                f"the handler {name!r} has a teardown() and a setup() that yields: move the code of teardown() after the yield"
            )
        if setup is not None:
            _require_call(name, "setup", setup)
            self._learn_type(setup)
        if teardown is not None:
            _require_call(name, "teardown", teardown, *([None] if _takes_value(teardown) else []))

    def is_of(self, annotation: Any) -> bool:  # noqa: ANN401 - any annotation
        """Whether a parameter with this annotation takes the state."""
        return self._has_type and bool(annotation == self._type)

    def is_nearly(self, annotation: Any) -> bool:  # noqa: ANN401 - any annotation
        """Whether a parameter with this annotation was probably meant to take the state: a related class, or a part."""
        if (
            not self._has_type or getattr(annotation, "__module__", "builtins") == "builtins"
        ):  # such as dict: a usual payload
            return False
        if inspect.isclass(annotation) and inspect.isclass(self._type):
            return issubclass(self._type, annotation) or issubclass(annotation, self._type)
        return annotation in get_args(self._type) or self._type in get_args(annotation)

    @property
    def type_name(self) -> str:
        """The type that ``setup()`` says it returns or yields, for people."""
        return inspect.formatannotation(self._type)

    @property
    def _has_type(self) -> bool:
        return self._type not in (MISSING, None, NoneType)

    @property
    def hint(self) -> str:
        """How a parameter becomes one that takes the state."""
        return self.unclear or "a parameter takes what setup() made if it has the type that setup() says it returns"

    @property
    def setup(self) -> Callable[[], Any] | None:
        """The hook to run first. Plain or async, as the user's."""
        if self._setup is None:
            return None
        make = self._setup

        @wraps(make)
        def set_up() -> Any:  # noqa: ANN401 - nothing, or a coroutine
            made = _as_generator(make()) if self._yields else make()
            if inspect.isgenerator(made):
                self._generator = made
                self.value = _first(made)
            elif inspect.isasyncgen(made):
                self._generator = made
                return self._keep(_first_async(made))
            elif inspect.isawaitable(made):
                return self._keep(made)
            else:
                self.value = made
            return None

        return set_up

    @property
    def teardown(self) -> Callable[[], Any] | None:
        """The hook to run last. Plain or async, as the user's."""
        if self._yields:
            return self._finish
        end = self._teardown
        if end is None or not _takes_value(end):
            return end
        return wraps(end)(lambda: end(self.value))

    def _finish(self) -> Any:  # noqa: ANN401 - nothing, or a coroutine
        if inspect.isasyncgen(self._generator):
            return _last_async(self._generator)
        return None if self._generator is None else _last(self._generator)

    async def _keep(self, made: Any) -> None:  # noqa: ANN401 - something to await
        self.value = await made

    def _learn_type(self, setup: Callable[..., Any]) -> None:
        try:
            annotation = annotation_of(setup, "return")
        except Unresolved as error:
            self.unclear = f"the return type of setup() is not known at run time: {error}"
            return
        self._type = yielded_by(annotation) if self._yields else annotation
        if self._type is MISSING:
            self.unclear = "annotate what setup() returns ('-> None' if nothing)"


def _require_call(name: str, hook: str, function: Callable[..., Any], *arguments: object) -> None:
    """Raise HandlerError unless ``function`` can be called with ``arguments``."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C don't say
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        takes = "no argument" if hook == "setup" else "at most one argument, what setup() made"
        raise HandlerError(
            f"the handler {name!r}: its {hook}() takes {takes}, but its signature is {signature}: {error}"
        ) from None


def _takes_value(teardown: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(teardown).parameters.values()
    except (TypeError, ValueError):  # some functions written in C don't say
        return False
    needed = [one for one in parameters if one.default is MISSING]
    return any(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in needed)


def _as_generator(made: Any) -> Any:  # noqa: ANN401 - whatever a decorated generator function returns
    """What ``contextlib.contextmanager`` or ``asynccontextmanager`` made of a generator, as a generator again."""
    match made:
        case AbstractContextManager():
            return _within(made)
        case AbstractAsyncContextManager():
            return _within_async(made)
        case _:
            return made


def _within(manager: AbstractContextManager[Any]) -> Iterator[Any]:
    with manager as value:
        yield value


async def _within_async(manager: AbstractAsyncContextManager[Any]) -> AsyncIterator[Any]:
    async with manager as value:
        yield value


def _first(generator: Generator[Any, Any, Any]) -> Any:  # noqa: ANN401 - what the user yields
    try:
        return next(generator)
    except StopIteration:
        raise RuntimeError("setup() ended without a yield") from None


def _last(generator: Generator[Any, Any, Any]) -> None:
    try:
        next(generator)
    except StopIteration:
        return
    raise RuntimeError("setup() yields more than once")


async def _first_async(generator: AsyncGenerator[Any, Any]) -> Any:  # noqa: ANN401 - as above
    try:
        return await anext(generator)
    except StopAsyncIteration:
        raise RuntimeError("setup() ended without a yield") from None


async def _last_async(generator: AsyncGenerator[Any, Any]) -> None:
    try:
        await anext(generator)
    except StopAsyncIteration:
        return
    raise RuntimeError("setup() yields more than once")
