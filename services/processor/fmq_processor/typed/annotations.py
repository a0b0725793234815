"""Reads annotations of a user's functions, also those that are text."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import fmq
from fmq.message import Message

MISSING: Any = inspect.Parameter.empty
"""Stands for a missing annotation."""
_USUAL: dict[str, Any] = {"fmq": fmq, "Any": Any, "Iterable": Iterable, "Iterator": Iterator, "Sequence": Sequence}
"""Names that a module may have imported for type checkers only."""
_YIELDING = (AsyncGenerator, AsyncIterator, Generator, Iterable, Iterator)


class Unresolved(Exception):
    """An annotation can't be evaluated. The text says why."""


def annotation_of(function: Callable[..., Any], name: str) -> Any:  # noqa: ANN401 - any annotation
    """The evaluated annotation of a parameter, or of ``return``; MISSING without one. Raises Unresolved."""
    holder = _with_annotations(function)
    annotations = getattr(holder, "__annotations__", {})
    if name not in annotations:
        return MISSING
    annotation = annotations[name]
    known = {**_USUAL, **{one: getattr(fmq, one) for one in fmq.__all__}, **getattr(holder, "__globals__", {})}
    try:
        alone = SimpleNamespace(__annotations__={name: annotation})
        return get_type_hints(alone, known, include_extras=True)[name]
    except Exception as error:
        shown = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        raise Unresolved(f"{shown!r} can't be resolved ({type(error).__name__}: {error})") from error


def yielded_by(annotation: Any) -> Any:  # noqa: ANN401 - any annotation
    """What a generator with this return annotation yields; MISSING if it does not say."""
    if get_origin(annotation) in _YIELDING and get_args(annotation):
        return get_args(annotation)[0]
    return MISSING


def is_message(annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    """Whether it stands for ``fmq.Message``, also as Optional or Annotated."""
    if get_origin(annotation) is Annotated:
        return is_message(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [one for one in get_args(annotation) if one is not NoneType] == [Message]
    return annotation is Message


def has_message(annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    """Whether ``fmq.Message`` is a part of it, as in ``list[fmq.Message]``."""
    return annotation is Message or any(has_message(part) for part in get_args(annotation))


def _with_annotations(function: Any) -> Any:  # noqa: ANN401 - whatever can be called
    """The function behind a method, a partial, a decorator or a callable object."""
    while True:
        if isinstance(function, partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif not inspect.isroutine(function) and not inspect.isclass(function):
            function = type(function).__call__
        else:
            return function
