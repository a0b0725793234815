"""Loads the chosen handler, and its settings together with the processor's."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from fmq.cli.main import settings_options
from fmq.errors import HandlerError
from fmq.handler import Definition, Handler, find_handler
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

    def make(self, registry: CollectorRegistry) -> Handler:
        """Create the handler, which registers its metrics in ``registry``. Raises HandlerError, SettingsError."""
        handler = adapted(self.definition.make(self.settings, registry))
        if self.settings is not None:
            calls = self.processor.calls_at_once(is_async=handler.is_async, is_batch=handler.is_batch)
            wrong = self.settings.misfits(calls=calls, seconds=self.processor.handler_timeout)
            if wrong:
                raise settings_error(wrong)
        return handler


def handler_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that adds the flags of all built-in handlers to a command."""
    for name, model in reversed(list(SETTINGS.items())):
        function = settings_options(model, heading=heading_of_handler(name))(function)
    return function


def known_settings(environ: Mapping[str, str]) -> dict[str, type[HandlerSettings]]:
    """The settings of all built-in handlers, and of the user's own that ``environ`` names, by the handler's name."""
    found = dict(SETTINGS)
    reference = environ.get("FMQ_HANDLER", "")
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
    """Read the processor's settings, import the handler that they name, and read that one's settings.

    ``arguments`` are those of ``fmq.service.settings.load``. ``before_import`` is called with the processor's settings if they
    are valid, since a user's module may log when it is imported. Raises SettingsError with all problems of any of these.
    """
    reading = Reading(flags, environ, arguments)
    settings = reading.read(ProcessorSettings)
    if settings is not None:
        before_import(settings)
    reference = str(reading.given("handler") or ProcessorSettings.model_fields["handler"].default)
    definition: Definition | None = None
    of_handler: HandlerSettings | None = None
    try:
        definition = find_handler(reference, BUILTIN)
        asked = definition.settings
    except HandlerError as error:
        reading.problems.append(str(error))
    else:
        if asked is not None:
            of_handler = reading.read(asked)
        reading.refuse_other_flags(f"not a setting of the handler {reference!r}")
    if settings is not None and of_handler is not None:
        reading.problems += of_handler.conflicts(queue_url=settings.queue_url, queues=settings.queues)
    if settings is None or definition is None or reading.problems:
        raise reading.error()
    return settings, Choice(settings, definition, of_handler)
