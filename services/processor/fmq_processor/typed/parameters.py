"""Which of a handler's parameters takes what: the message, the payload as a value of a type, or what ``setup()`` made."""

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, MutableSequence, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from inspect import Parameter
from typing import Any, get_args, get_origin

from fmq.errors import HandlerError
from fmq_processor.typed.annotations import MISSING, Unresolved, annotation_of, has_message, is_message
from fmq_processor.typed.state import State

_LISTS = (list, Sequence, MutableSequence, Collection, Iterable)
_ANYTHING = (MISSING, Any, object)
_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


class Takes(Enum):
    """What a parameter takes. In a batch handler, message and value are lists."""

    MESSAGE = auto()
    VALUE = auto()
    STATE = auto()


_ONCE = {Takes.MESSAGE: "the message", Takes.VALUE: "the payload", Takes.STATE: "what setup() made"}


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a handler is called with: by position, and by name; ``value`` is the type of the payload."""

    positions: tuple[Takes, ...] = (Takes.MESSAGE,)
    names: tuple[tuple[str, Takes], ...] = ()
    value: Any = None

    @property
    def is_plain(self) -> bool:
        """Whether the message, or the list of messages, is all that it takes."""
        return self == Parameters()

    @property
    def takes_value(self) -> bool:
        """Whether it takes the payload as a value."""
        return Takes.VALUE in self.positions or any(takes is Takes.VALUE for _, takes in self.names)


def parameters_of(name: str, handle: Callable[..., Any], state: State, *, is_batch: bool) -> Parameters:
    """What the parameters of the handler ``name`` take. Parameters with a default, except the first, keep it.

    Raises HandlerError if the handler can't be called, if a call would run none of its code, or if it is unclear what a
    parameter takes.
    """
    if inspect.isgeneratorfunction(handle) or inspect.isasyncgenfunction(handle):
        raise HandlerError(f"the handler {name!r} is a generator, of which nothing would run: use return, not yield")
    try:
        signature = inspect.signature(handle)
    except (TypeError, ValueError):  # some functions written in C don't say
        return Parameters()
    asked = list(_asked(signature))
    if not asked or any(one.annotation is MISSING for one in asked[1:]) or _is_nameless(asked[0]):
        _require_one_argument(name, signature, is_method=inspect.ismethod(handle))
        return Parameters()
    reader = _Reader(name, handle, state, is_batch=is_batch, is_alone=len(asked) == 1)
    found = [(one, reader.takes(one, is_first=one is asked[0])) for one in asked]
    given = [takes for _, takes in found]
    for one, what in _ONCE.items():
        if given.count(one) > 1:
            both = " and ".join(repr(parameter.name) for parameter, takes in found if takes is one)
            hint = "give it a type of its own, such as a dataclass" if one is Takes.STATE else state.hint
            raise HandlerError(f"the handler {name!r} can take {what} only once, but {both} both do: {hint}")
    if reader.value_name and Takes.STATE not in given and len(found) > 1:
        _require_no_near_miss(name, reader, state)
    return Parameters(
        tuple(takes for one, takes in found if one.kind in _BY_POSITION),
        tuple((one.name, takes) for one, takes in found if one.kind is Parameter.KEYWORD_ONLY),
        reader.value,
    )


class _Reader:
    """Reads the annotations of one handler."""

    def __init__(self, name: str, handle: Callable[..., Any], state: State, *, is_batch: bool, is_alone: bool) -> None:
        self._name = name
        self._handle = handle
        self._state = state
        self._is_batch = is_batch
        self._is_alone = is_alone
        self.value: Any = None
        """The type of the payload."""
        self.value_name = ""
        """The parameter that takes it."""

    def takes(self, parameter: Parameter, *, is_first: bool) -> Takes:
        """What one parameter takes."""
        where = f"the handler {self._name!r}: its parameter {parameter.name!r}"
        try:
            annotation = annotation_of(self._handle, parameter.name)
        except Unresolved as error:
            raise HandlerError(
                f"{where} has a type that is not known at run time: {error}. Define or import it in the module, outside 'if TYPE_CHECKING:'"
            ) from error
        if not self._is_alone and self._state.is_of(annotation):
            return Takes.STATE
        one = self._item(annotation, where) if self._is_batch else annotation
        if is_message(one) or (is_first and one in _ANYTHING):
            return Takes.MESSAGE
        if has_message(one):
            advice = "Take message and payload in two parameters; mark a handler of lists with @fmq.batch_handler"
            raise HandlerError(f"{where} is {_shown(annotation)}, which is not a type of payloads. {advice}")
        if not self._is_alone and self._state.unclear:
            raise HandlerError(f"{where} may take the payload or what setup() made: {self._state.unclear}")
        self.value, self.value_name = one, parameter.name
        return Takes.VALUE

    def _item(self, annotation: Any, where: str) -> Any:  # noqa: ANN401 - any annotation
        """The type of a list's elements, for a batch handler."""
        if annotation in (*_ANYTHING, *_LISTS):
            return Any
        if get_origin(annotation) in _LISTS:
            return get_args(annotation)[0]
        raise HandlerError(
            f"{where} is {_shown(annotation)}, but a batch handler takes lists, such as list[fmq.Message]"
        )


def _asked(signature: inspect.Signature) -> Iterator[Parameter]:
    """The parameters that get something: the first, and those without a default."""
    for position, one in enumerate(signature.parameters.values()):
        is_first = position == 0 and one.kind in _BY_POSITION
        if is_first or (one.default is MISSING and one.kind in (*_BY_POSITION, Parameter.KEYWORD_ONLY)):
            yield one


def _require_no_near_miss(name: str, reader: _Reader, state: State) -> None:
    if state.is_nearly(reader.value):
        raise HandlerError(
            f"the handler {name!r}: no parameter takes what setup() made. If {reader.value_name!r} should, give it the same type as "
            f"the result of setup(), which is {state.type_name}, and not {_shown(reader.value)}"
        )


def _is_nameless(first: Parameter) -> bool:
    """Whether only its name says what the first parameter takes."""
    return first.kind is Parameter.KEYWORD_ONLY and first.annotation is MISSING


def _require_one_argument(name: str, signature: inspect.Signature, *, is_method: bool) -> None:
    try:
        signature.bind(object())
    except TypeError as error:
        if is_method and not signature.parameters:
            raise HandlerError(
                f"the handler {name!r}: its method takes nothing but the object: expected handle(self, message)"
            ) from None
        raise HandlerError(
            f"the handler {name!r} can't be called with one argument, the message (a batch handler: the list of messages): "
            f"{error}; its signature is {signature}. Parameters that take something else need a type"
        ) from None


def _shown(annotation: Any) -> str:  # noqa: ANN401 - any annotation
    return inspect.formatannotation(annotation)
