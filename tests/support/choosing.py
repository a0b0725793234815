"""A processor's settings and handler, as its command reads them from flags and environment."""

from collections.abc import Callable, Mapping

from fmq_processor.handler_loading import Choice
from fmq_processor.routes import load_routes
from fmq_processor.settings import ProcessorSettings


def choose(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    before_import: Callable[[ProcessorSettings], None] = lambda _: None,
) -> tuple[ProcessorSettings, Choice]:
    """The settings of the process, and the handler of its only route. Raises SettingsError."""
    settings, (route,) = load_routes(flags, environ, before_import=before_import)
    return settings, route.choice
