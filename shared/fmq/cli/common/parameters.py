"""Types of command-line values."""

import os
import re
from datetime import UTC, datetime

import click
from click.shell_completion import CompletionItem

from fmq.clock import SYSTEM_CLOCK
from fmq.errors import FmqError
from fmq.quantities import hint, parse
from fmq.service.environment import load
from fmq.service.settings import StoreSettings
from fmq.store.backends import open_store
from fmq.store.options import Durability

_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")


def _seconds(text: str) -> float | None:
    """A span of time in seconds; None if ``text`` is not one."""
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else parse(text, "seconds")


class Span(click.ParamType[float]):
    """A length of time in seconds: ``90``, ``500ms``, ``90s``, ``15m``, ``2h``, ``3d``, ``1w``."""

    name = "SPAN"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        seconds = _seconds(str(value))
        if seconds is None:
            advice = hint(str(value), "seconds")
            self.fail(f"{value!r}: expected one like 90, 90s, 15m, 2h, 3d or 1w{advice and '.'}{advice}", param, ctx)
        return seconds


class Moment(click.ParamType[float]):
    """A point in time in Unix seconds: a span ago, or a date (``2026-11-24``, ``2026-11-24T08:30``; UTC by default)."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        text = str(value).strip()
        if (ago := _seconds(text)) is not None:
            return SYSTEM_CLOCK.wall() - ago
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            advice = hint(text, "seconds")
            expected = "expected one like 2h (ago), 2026-11-24 or 2026-11-24T08:30:00Z"
            self.fail(f"{text!r}: {expected}{advice and '.'}{advice}", param, ctx)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


class QueueName(click.ParamType[str]):
    """The name of a queue. Shell completion reads the store of the environment or of ``--queue-url``."""

    name = "QUEUE"

    def convert(self, value: object, _param: click.Parameter | None, _ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            settings = load(
                StoreSettings, {"queue_url": ctx.params.get("queue_url"), "check_integrity": False}, os.environ
            )
            with open_store(settings.queue_url, settings.store_options(Durability.NORMAL), create=False) as store:
                return [CompletionItem(name) for name in store.names() if name.startswith(incomplete)]
        except FmqError:
            return []  # no error message while somebody types


class Port(click.ParamType[int]):
    """The port of a service that runs."""

    name = "PORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).strip()
        if text == "0":
            self.fail(
                "0 means any free port; the first line of the service's log has its number (http_port)",
                param,
                ctx,
            )
        if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
            self.fail(f"{text!r}: expected a port from 1 to 65535, such as 9464", param, ctx)
        return int(text)


SPAN, MOMENT, QUEUE, PORT = Span(), Moment(), QueueName(), Port()
