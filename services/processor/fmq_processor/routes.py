"""The routes of a processor: which messages go to which handler, and with which settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fmq.service.environment import Arguments
from fmq_processor.handler_loading import Choice, choose
from fmq_processor.settings import ProcessorSettings

MAIN = "main"
"""The name of the only route of a processor that has no file with routes."""


@dataclass(frozen=True, slots=True)
class Route:
    """A handler, the messages that it gets, and how.

    ``settings`` are complete: those of the process and this route's. Their ``queues`` are the route's (none: all queues).
    ``topics`` are topic filters for the messages of these queues (none: every message). ``name`` is unique in a processor
    and what logs and metrics show.
    """

    name: str
    settings: ProcessorSettings
    choice: Choice
    topics: tuple[str, ...] = ()


def load_routes(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    arguments: Arguments = None,
    before_import: Callable[[ProcessorSettings], None] = lambda _: None,
) -> tuple[ProcessorSettings, tuple[Route, ...]]:
    """The settings of the process, and its routes: the first one that matches a message has it.

    ``arguments`` and ``before_import`` are those of ``choose``. Raises SettingsError with all problems.
    """
    settings, choice = choose(flags, environ, arguments=arguments, before_import=before_import)
    return settings, (Route(MAIN, settings, choice),)
