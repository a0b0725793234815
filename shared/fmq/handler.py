"""Definition and loading of handlers.

A handler is a function ``handle(message)``, an async function, or one marked with ``fmq.batch_handler`` that takes
a list; or a class with a method ``handle`` of any of these kinds. ``fmq_processor.typed`` says what other parameters may be. ``setup()`` and ``teardown()``, in the
same module or as methods of the class, run once before the first and after the last message; both may be async.

A class that names its settings, ``Settings = OwnSettings`` (a subclass of ``fmq.service.settings.HandlerSettings``), is made
with these, read from the environment like all others, and with the registry that its metrics go to. A method
``know_store(identity)`` receives the identity of the store, for ids that are unique across stores
(``fmq.message.unique_id``).
"""

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry

from fmq.errors import HandlerError, SettingsError
from fmq.extras import missing_part
from fmq.service.settings import HandlerSettings, setting

__all__ = ["Definition", "Handler", "HandlerSettings", "find_handler", "setting"]


@dataclass(frozen=True, slots=True)
class Handler:
    """A loaded handler. ``is_batch``: it takes a list of messages; ``is_async``: it is awaited.

    ``fmq_processor.typed`` adapts one that takes something else than messages.
    """

    name: str
    handle: Callable[[Any], Any]
    is_async: bool = False
    is_batch: bool = False
    setup: Callable[[], Any] | None = None
    teardown: Callable[[], Any] | None = None
    know_store: Callable[[UUID], None] | None = None
    """Takes ``Queue.identity()``, before ``setup``."""
    implied_decode: str = "none"
    """How to decode payloads if FMQ_DECODE=none: a handler that takes values needs them decoded."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a reference names, before it is made: ``target``, which stands in the module ``beside``."""

    name: str
    target: Any
    beside: object

    @property
    def settings(self) -> type[HandlerSettings] | None:
        """The settings that it asks for. Raises HandlerError if they are none."""
        asked: Any = getattr(self.target, "Settings", None) if inspect.isclass(self.target) else None
        if asked is None or (inspect.isclass(asked) and issubclass(asked, HandlerSettings)):
            return asked
        raise HandlerError(f"the handler {self.name!r} has 'Settings' that are not a subclass of HandlerSettings")

    def make(self, settings: HandlerSettings | None, registry: CollectorRegistry) -> Handler:
        """Make the handler; ``settings`` are of the class that it asks for. Raises HandlerError, SettingsError."""
        holder, found = self.beside, self.target
        if isinstance(found, type):
            try:
                holder = found() if settings is None else found(settings, registry)
            except SettingsError:
                raise
            except (Exception, SystemExit) as error:
                how = (
                    "(settings, registry), since it has Settings"
                    if settings
                    else "(): only a class with Settings gets arguments"
                )
                hint = f". It is called as {found.__name__}{how}" if isinstance(error, TypeError) else _line(error)
                raise HandlerError(
                    f"the handler {self.name!r} can't be made: {type(error).__name__}: {error}{hint}"
                ) from error
            found = getattr(holder, "handle", None)
        elif not inspect.isroutine(found) and hasattr(found, "handle"):
            holder, found = found, found.handle
        if not callable(found):
            raise HandlerError(f"the handler {self.name!r} is neither a function nor a class with a method 'handle'")
        return Handler(
            name=self.name,
            handle=found,
            is_async=inspect.iscoroutinefunction(found)
            or inspect.iscoroutinefunction(getattr(found, "__call__", None)),  # noqa: B004 - the method itself is examined
            is_batch=bool(getattr(found, "__fmq_batch__", False)),
            setup=_hook(self.name, holder, "setup"),
            teardown=_hook(self.name, holder, "teardown"),
            know_store=_callable(holder, "know_store"),
        )


def find_handler(reference: str, builtin: Mapping[str, str]) -> Definition:
    """Import ``package.module:name``, or a built-in (``builtin`` maps its name to such a reference).

    The working directory is searched first. Raises HandlerError that says what is wrong with the reference.
    """
    target = builtin.get(reference, reference)
    module_name, colon, attribute = target.partition(":")
    if not colon or not module_name or not attribute or _is_path(module_name):
        known = ", ".join(sorted(builtin)) or "none"
        alike = get_close_matches(reference, builtin, n=1) or _meant(reference)
        hint = f" Did you mean {alike[0]!r}?" if alike else ""
        raise HandlerError(
            f"Invalid handler {reference!r}: expected package.module:function or a built-in handler ({known}).{hint}"
        )
    try:
        here = str(Path.cwd())
    except FileNotFoundError:
        raise HandlerError("the working directory does not exist any more: change to another directory") from None
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        missing = missing_part(error) if reference in builtin and isinstance(error, ImportError) else None
        why = missing or f"{type(error).__name__}: {error}{_line(error)}"
        if isinstance(error, ModuleNotFoundError) and error.name == module_name.partition(".")[0]:
            why += f". Expected {error.name}.py in {here}, or an installed package of that name"
        raise HandlerError(f"the handler {reference!r} can't be imported: {why}") from error
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            alike = get_close_matches(part, [name for name in dir(found) if not name.startswith("_")], n=1)
            hint = f". Did you mean {alike[0]!r}?" if alike else ""
            own = Path(here, f"{module_name}.py")
            if own.exists() and getattr(module, "__file__", None) != str(own):
                hint = f". {own} is not it, since Python finds another module of that name first: rename the file"
            raise HandlerError(
                f"the handler {reference!r} does not exist: {module_name} has no {attribute!r}{hint}"
            ) from None
    return Definition(reference, found, module)


def _is_path(module_name: str) -> bool:
    return "/" in module_name or module_name.endswith(".py")


def _meant(reference: str) -> list[str]:
    """The name of a handler that was given as a file, or with a dot in place of the colon; none if that is unclear."""
    path, _, name = reference.partition(":")
    if _is_path(path):
        file = PurePath(path)
        parts = (file.name,) if file.is_absolute() else file.parts
        return [f"{'.'.join(parts).removesuffix('.py')}:{name or 'handle'}"]
    module, dot, function = path.rpartition(".")
    if name or not path:
        return []
    if dot and module and function:
        return [f"{module}:{function}"]
    return [f"{path}:handle"] if Path(f"{path}.py").exists() or Path(path, "__init__.py").exists() else []


def _line(error: BaseException) -> str:
    """Where a user's code raised ``error``. Empty if its text says so already."""
    if isinstance(error, SyntaxError):
        return ""
    ours = (__file__, importlib.__file__)
    frames = [
        one for one in traceback.extract_tb(error.__traceback__) if one.filename not in ours and one.filename[0] != "<"
    ]
    return f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""


def _hook(name: str, holder: object, hook: str) -> Callable[..., Any] | None:
    found = getattr(holder, hook, None)
    if found is None or callable(found) or inspect.ismodule(found):
        return _callable(holder, hook)
    raise HandlerError(f"the handler {name!r} has a {hook!r} that is not a function: rename it, or make it one")


def _callable(holder: object, name: str) -> Callable[..., Any] | None:
    found = getattr(holder, name, None)
    return found if callable(found) else None
