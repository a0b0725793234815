"""What a user's handler is, and loading one.

A handler is a function ``handle(message)``, an async function, or one marked with ``fmq.batch_handler`` that takes
a list; or a class with a method ``handle`` of any of these kinds. ``setup()`` and ``teardown()``, beside the
function in its module or as methods of the class, run once before the first and after the last message; both may
be async.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmq.errors import HandlerError


@dataclass(frozen=True, slots=True)
class Handler:
    """A loaded handler. ``is_batch``: it takes a list of messages; ``is_async``: it is awaited."""

    name: str
    handle: Callable[[Any], Any]
    is_async: bool = False
    is_batch: bool = False
    setup: Callable[[], Any] | None = None
    teardown: Callable[[], Any] | None = None


def load_handler(reference: str, builtin: Mapping[str, str]) -> Handler:
    """Load ``package.module:name``, or a built-in (``builtin`` maps its name to such a reference).

    The working directory is searched first. Raises HandlerError that says what is wrong with the reference.
    """
    target = builtin.get(reference, reference)
    module_name, colon, attribute = target.partition(":")
    if not colon or not module_name or not attribute:
        known = ", ".join(sorted(builtin)) or "none"
        raise HandlerError(f"{reference!r} is no handler: it would be package.module:function or a built-in ({known})")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise HandlerError(f"the handler {reference!r} can't be imported: {type(error).__name__}: {error}") from error
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise HandlerError(
                f"the handler {reference!r} does not exist: {module_name} has no {attribute!r}"
            ) from None
    return _adapt(reference, found, beside=module)


def _adapt(reference: str, found: Any, *, beside: object) -> Handler:  # noqa: ANN401 - whatever the user named
    holder = beside
    if inspect.isclass(found):
        try:
            holder = found()
        except (Exception, SystemExit) as error:
            raise HandlerError(f"the handler {reference!r} can't be made: {type(error).__name__}: {error}") from error
        found = getattr(holder, "handle", None)
    elif not inspect.isroutine(found) and hasattr(found, "handle"):
        holder, found = found, found.handle
    if not callable(found):
        raise HandlerError(f"the handler {reference!r} is neither a function nor a class with a method 'handle'")
    return Handler(
        name=reference,
        handle=found,
        is_async=inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(getattr(found, "__call__", None)),  # noqa: B004
        is_batch=bool(getattr(found, "__fmq_batch__", False)),
        setup=_callable(holder, "setup"),
        teardown=_callable(holder, "teardown"),
    )


def _callable(holder: object, name: str) -> Callable[[], Any] | None:
    found = getattr(holder, name, None)
    return found if callable(found) else None
