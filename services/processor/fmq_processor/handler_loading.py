"""Loads the chosen handler, and its settings together with the processor's."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from fmq.cli.main import settings_options
from fmq.errors import HandlerError
from fmq.handler import Definition, Handler, find_handler
from fmq.service.config.places import PROCESSOR, ROUTE
from fmq.service.environment import Arguments, Reading, settings_error
from fmq.service.settings import HandlerSettings
from fmq_processor.handlers import BUILTIN, SETTINGS
from fmq_processor.help import heading_of_handler
from fmq_processor.settings import ProcessorSettings
from fmq_processor.typed.adapting import adapted


@dataclass(frozen=True, slots=True)
class Choice:
    """A handler that can be created, and what it needs for that."""

    processor: ProcessorSettings
    definition: Definition
    settings: HandlerSettings | None
    where: str = ""
    """Its place in the configuration file, for errors."""

    def make(self, registry: CollectorRegistry) -> Handler:
        """Create the handler, which registers its metrics in ``registry``. Raises HandlerError, SettingsError."""
        handler = adapted(self.definition.make(self.settings, registry))
        if self.settings is not None:
            calls = self.processor.calls_at_once(is_async=handler.is_async, is_batch=handler.is_batch)
            wrong = self.settings.misfits(calls=calls, seconds=self.processor.handler_timeout)
            if wrong:
                raise settings_error([f"{self.where}{one}" for one in wrong])
        return handler


def handler_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that adds the flags of all built-in handlers to a command."""
    for name, model in reversed(list(SETTINGS.items())):
        function = settings_options(model, heading=heading_of_handler(name))(function)
    return function


def known_settings(references: Iterable[str]) -> dict[str, type[HandlerSettings]]:
    """The settings of all built-in handlers, and of the user's own that ``references`` name, by the handler's name."""
    found = dict(SETTINGS)
    for reference in references:
        if reference and reference not in BUILTIN:
            with suppress(HandlerError):  # loading it reports the error
                own = find_handler(reference, BUILTIN).settings
                if own is not None:
                    found[reference] = own
    return found


def choose(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    arguments: Arguments = None,
    before_import: Callable[[ProcessorSettings], None] = lambda _: None,
) -> tuple[ProcessorSettings, Choice]:
    """The processor's settings and one handler: as the configuration file's first route for it has them, if there is one.

    ``arguments`` are those of ``fmq.service.environment.load``. Raises SettingsError with all problems of flags, environment,
    file and handler.
    """
    reading = Reading(flags, environ, arguments)
    named = named_handler(reading)
    routes = [one.get("handler") for one in reading.file.routes]
    choice = read_choice(reading, routes.index(named) if named in routes else None, before_import=before_import)
    reading.refuse_other_flags(f"not a setting of the handler {named!r} (--handler chooses another)")
    reading.refuse_strangers(variables=True, handlers_are_known=choice is not None and len(routes) <= 1)
    if choice is None or reading.problems:
        raise reading.error()
    return choice.processor, choice


def read_choice(
    reading: Reading,
    route: int | None = None,
    *,
    before_import: Callable[[ProcessorSettings], None] = lambda _: None,
) -> Choice | None:
    """Read the processor's settings, import the handler that they name, and read that one's settings.

    ``route`` is the number of a route of the configuration file from 0; None: outside of routes. ``before_import`` is called
    with the processor's settings if they are valid, since a user's module may log when it is imported.
    Returns None if any of these is wrong; the problems of ``reading`` then say why.
    """
    before = len(reading.problems)
    settings = reading.read(ProcessorSettings, route)
    if settings is not None:
        before_import(settings)
    definition = None
    of_handler: HandlerSettings | None = None
    where = "" if route is None else f"{reading.file.where((ROUTE, route))}: "
    place = (PROCESSOR, "handler")
    if route is None and reading.file.value(place) is not None and not reading.overridden(ProcessorSettings, "handler"):
        where = f"{reading.file.where(place)}: "
    named = named_handler(reading, route)
    if not named:  # the problems say so
        return None
    try:
        definition = find_handler(named, BUILTIN)
        asked = definition.settings
    except HandlerError as error:
        reading.problems.append(f"{where}{error}")
        asked = SETTINGS.get(named)  # a built-in's are known, even if what it needs is not installed
    if asked is not None:
        of_handler = reading.read(asked, route)
    if settings is not None and of_handler is not None:
        wrong = of_handler.conflicts(queue_url=settings.queue_url, queues=settings.queues)
        reading.problems += [f"{where}{one}" for one in wrong]
    if settings is None or definition is None or len(reading.problems) > before:
        return None
    return Choice(settings, definition, of_handler, where)


def named_handler(reading: Reading, route: int | None = None) -> str:
    """The handler that flags, environment or file name, valid or not. Empty if it is not a text."""
    source = reading.source(ProcessorSettings, "handler", route)
    if source is None:
        return str(ProcessorSettings.model_fields["handler"].default)
    given = source.value if source.place is None else reading.file.value(source.place)
    return "" if isinstance(given, dict | list) else str(given)
