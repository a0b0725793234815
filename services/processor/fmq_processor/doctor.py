"""The processor's part of `fmq doctor`."""

import sys
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry

from fmq.errors import HandlerError, SettingsError
from fmq.finding import Finding, ok, problem, warning
from fmq.service import inventory
from fmq_processor.routes import Route, load_routes
from fmq_processor.settings import ProcessorSettings


def check_handler(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the handler of each route can be loaded. It is imported with its settings, but neither set up nor called."""
    told = (inventory.check(ProcessorSettings, environ) or "").splitlines()  # the check of the settings reports it
    try:
        routes = load_routes({}, environ)[1]
    except (HandlerError, SettingsError) as error:
        yield from _problems(error, told)
        return
    for route in routes:
        yield from _check(route, "" if len(routes) == 1 else f"route {route.name}: ", told)


def _check(route: Route, prefix: str, told: Sequence[str]) -> Iterator[Finding]:
    try:
        handler = route.choice.make(CollectorRegistry())
    except (HandlerError, SettingsError) as error:
        yield from _problems(error, told, prefix)
        return
    if uses := _own_sqlite(handler.name):
        yield warning(
            "handler",
            f"{prefix}{handler.name} uses {uses}",
            "Never open the queue's own database with it. docs/handlers.md explains how to read it.",
        )
    kind = "async" if handler.is_async else "plain"
    text = f"{prefix}{handler.name} can be loaded ({kind}{', takes batches' if handler.is_batch else ''})"
    yield ok("handler", text)


def _problems(error: Exception, told: Sequence[str], prefix: str = "") -> Iterator[Finding]:
    for line in str(error).splitlines():
        if line not in told and not line.endswith(":"):
            advice = "A handler is a built-in or package.module:function, importable from here."
            if line.strip().startswith("FMQ_"):  # a setting of it, such as a certificate that can't be read
                advice = "Correct it. Processors do not start with it."
            yield problem("handler", f"{prefix}{line.strip()}", advice)


def _own_sqlite(name: str) -> str | None:
    """Another SQLite library that the user's handler has imported, if any."""
    module = sys.modules.get(name.partition(":")[0])
    if ":" not in name or module is None:
        return None
    used = {getattr(value, "__name__", None) for value in vars(module).values()}
    return next((one for one in ("sqlite3", "aiosqlite", "sqlalchemy", "pysqlite3") if one in used), None)
