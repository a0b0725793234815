"""Types of command-line values."""

import os
import re
from datetime import UTC, datetime

import click
from click.shell_completion import CompletionItem

from fmq.clock import SYSTEM_CLOCK
from fmq.errors import FmqError
from fmq.service.environment import load
from fmq.service.settings import StoreSettings
from fmq.store.backends import open_store
from fmq.store.options import Durability

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")


class Span(click.ParamType[float]):
    """A length of time in seconds: ``90``, ``90s``, ``15m``, ``2h``, ``3d``, ``1w``."""

    name = "SPAN"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        found = _SPAN.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r}: expected one like 90, 90s, 15m, 2h, 3d or 1w", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


class Moment(click.ParamType[float]):
    """A point in time in Unix seconds: a span ago, or a date (``2026-11-24``, ``2026-11-24T08:30``; UTC by default)."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        text = str(value).strip()
        if _SPAN.fullmatch(text):
            return SYSTEM_CLOCK.wall() - SPAN.convert(text, param, ctx)
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r}: expected one like 2h (ago), 2026-11-24 or 2026-11-24T08:30:00Z", param, ctx)
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


SPAN, MOMENT, QUEUE = Span(), Moment(), QueueName()
