"""The processor's part of `fmq doctor`."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry

from fmq import inventory
from fmq.errors import HandlerError, SettingsError
from fmq.finding import Finding, ok, problem
from fmq_processor.choice import choose
from fmq_processor.settings import ProcessorSettings


def check_handler(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the handler can be made. It is imported with its settings, and neither set up nor called."""
    told = (inventory.check(ProcessorSettings, environ) or "").splitlines()  # by the check of the settings
    try:
        handler = choose({}, environ)[1].make(CollectorRegistry())
    except (HandlerError, SettingsError) as error:
        for line in str(error).splitlines():
            if line not in told and not line.endswith(":"):
                advice = "FMQ_HANDLER is a built-in or package.module:function, importable from here."
                yield problem("handler", line.strip(), advice)
        return
    kind = "async" if handler.is_async else "plain"
    yield ok("handler", f"{handler.name} can be loaded ({kind}{', takes batches' if handler.is_batch else ''})")
