"""The processor's part of `fmq doctor`."""

from collections.abc import Iterator, Mapping

from fmq.errors import HandlerError
from fmq.finding import Finding, ok, problem
from fmq.handler import load_handler
from fmq.settings import load
from fmq_processor.handlers import BUILTIN
from fmq_processor.settings import ProcessorSettings


def check_handler(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the handler can be loaded. It is imported, and neither set up nor called. Raises SettingsError."""
    settings = load(ProcessorSettings, {}, environ)
    try:
        handler = load_handler(settings.handler, BUILTIN)
    except HandlerError as error:
        yield problem(
            "handler", str(error), "FMQ_HANDLER is a built-in or package.module:function, importable from here."
        )
        return
    kind = "async" if handler.is_async else "plain"
    yield ok("handler", f"{handler.name} can be loaded ({kind}{', takes batches' if handler.is_batch else ''})")
