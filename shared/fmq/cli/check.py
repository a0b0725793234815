"""`fmq check`: checks queues against limits, for monitoring systems, cron and container probes."""

from dataclasses import dataclass
from typing import Literal

import click

from fmq.cli.common.json_output import print_shape
from fmq.cli.common.numbers import Count
from fmq.cli.common.output import say
from fmq.cli.common.parameters import QUEUE, SPAN
from fmq.cli.common.shapes import CheckedShape, CheckShape, FigureShape, Level
from fmq.cli.help import SettingsCommand
from fmq.cli.main import read_settings, settings_options
from fmq.clock import SYSTEM_CLOCK
from fmq.errors import FmqError, UnknownQueue
from fmq.message import QueueStats
from fmq.service.settings import StoreSettings
from fmq.store.backends import open_store
from fmq.store.nearest import no_queue
from fmq.store.options import Durability
from fmq.text import counted, without_password

_LEVELS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
"""Names by exit code, as in the development guidelines of monitoring-plugins.org."""
_NAMES: tuple[Level, ...] = ("ok", "warning", "critical")
_WARNING, _CRITICAL, _UNKNOWN = 1, 2, 3
_ALL_TOGETHER = "all queues"


@dataclass(frozen=True, slots=True)
class _Figure:
    """One value with its limits; None means no limit."""

    queue: str
    what: Literal["pending", "age", "dead"]
    value: float
    warn: float | None
    limit: float | None

    @property
    def level(self) -> int:
        if self.limit is not None and self.value > self.limit:
            return _CRITICAL
        return _WARNING if self.warn is not None and self.value > self.warn else 0

    @property
    def text(self) -> str:
        above = {_CRITICAL: self.limit, _WARNING: self.warn}.get(self.level)
        unit = " s" if self.what == "age" else ""
        return f"{self.what} {self.value:,.0f}{unit}" + ("" if above is None else f" (above {above:,.0f}{unit})")

    @property
    def performance(self) -> str:
        """``'label'=value[unit];[warn];[crit];[min]``."""
        label = f"{self.queue} {self.what}".replace("'", "").replace("=", "_")
        limits = ";".join("" if one is None else f"{one:g}" for one in (self.warn, self.limit))
        return f"'{label}'={self.value:.0f}{'s' if self.what == 'age' else ''};{limits};0"


@click.command(cls=SettingsCommand, short_help="Check queues against limits, for monitoring systems.")
@click.option(
    "--queue", "chosen", multiple=True, type=QUEUE, help="Check only this queue. May be repeated. Default: all queues."
)
@click.option("--total", is_flag=True, help="Apply the limits to all queues together, not to each queue.")
@click.option(
    "--max-pending",
    type=Count(0),
    default=1_000,
    show_default=True,
    help="Maximum number of pending messages.",
)
@click.option(
    "--max-age", type=SPAN, help="Maximum time since a message has been due. A planned retry or a delay does not count."
)
@click.option("--max-dead", type=Count(0), help="Maximum number of dead letters.")
@click.option(
    "--warn-pending",
    type=Count(0),
    help="Number of pending messages that gives a warning: exit 0, or 1 with --nagios.",
)
@click.option("--warn-age", type=SPAN, help="Time since a message has been due that gives a warning.")
@click.option(
    "--nagios",
    is_flag=True,
    help="Print one line with performance data, and use the exit codes 0 to 3 of Nagios plugins.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (docs/cli.schema.json).")
@settings_options(StoreSettings, but=("check_integrity", "synchronous"))
def check(
    chosen: tuple[str, ...],
    *,
    total: bool,
    max_pending: int,
    max_age: float | None,
    max_dead: int | None,
    warn_pending: int | None,
    warn_age: float | None,
    nagios: bool,
    as_json: bool,
    **flags: object,
) -> int:
    """Exit 1 if too many messages wait, if one waits too long, or if there are too many dead letters. Otherwise exit 0.

    Do not use it as a liveness probe, since a restart does not handle a backlog. Use `fmq health` for that.
    """
    try:
        stats = _read(flags, chosen)
    except FmqError as error:
        if not nagios:
            raise
        say(f"FMQ UNKNOWN - {' '.join(str(error).split())}")
        return _UNKNOWN
    now = SYSTEM_CLOCK.wall()
    figures = [
        figure
        for one in ([_together(stats)] if total else stats)
        for figure in (
            _Figure(one.name, "pending", one.pending, warn_pending, max_pending),
            _Figure(one.name, "age", max(0.0, now - (one.oldest_due_at or now)), warn_age, max_age),
            _Figure(one.name, "dead", one.dead, None, max_dead),
        )
    ]
    level = max((figure.level for figure in figures), default=0)
    if nagios:
        click.echo(_nagios_line(figures, level, len(stats)))
        return level
    if as_json:
        print_shape(CheckShape(_NAMES[level], _shapes(figures)))
    else:
        for name in dict.fromkeys(figure.queue for figure in figures):
            say(f"{name}: {', '.join(figure.text for figure in figures if figure.queue == name)}")
    return int(level == _CRITICAL)


def _read(flags: dict[str, object], chosen: tuple[str, ...]) -> list[QueueStats]:
    settings = read_settings(StoreSettings, {**flags, "check_integrity": False})
    with open_store(settings.queue_url, settings.store_options(Durability.NORMAL), create=False) as store:
        names = store.names()
        if unknown := [name for name in chosen if name not in names]:
            raise UnknownQueue(no_queue(unknown[0], without_password(settings.queue_url), names))
        return [store.stats(name) for name in chosen or names]


def _together(stats: list[QueueStats]) -> QueueStats:
    return QueueStats(
        _ALL_TOGETHER,
        stored=sum(one.stored for one in stats),
        pending=sum(one.pending for one in stats),
        claimed=sum(one.claimed for one in stats),
        done=sum(one.done for one in stats),
        dead=sum(one.dead for one in stats),
        oldest_pending_at=None,
        oldest_due_at=min((one.oldest_due_at for one in stats if one.oldest_due_at is not None), default=None),
    )


def _nagios_line(figures: list[_Figure], level: int, queues: int) -> str:
    worst = [f"{figure.queue}: {figure.text}" for figure in figures if figure.level == level]
    text = "; ".join(worst) if level else f"{counted(queues, 'queue')} within limits"
    line = f"FMQ {_LEVELS[level]} - {text}".replace("|", "/")
    return f"{line} | {' '.join(figure.performance for figure in figures)}"


def _shapes(figures: list[_Figure]) -> list[CheckedShape]:
    return [
        CheckedShape(
            name,
            [
                FigureShape(one.what, one.value, one.warn, one.limit, _NAMES[one.level])
                for one in figures
                if one.queue == name
            ],
        )
        for name in dict.fromkeys(one.queue for one in figures)
    ]
