"""What a single run of ``fmq process`` does differently: flags that are not settings, so that no file or variable turns them on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

EXIT_LEFT = 5
"""The exit code of a drain that left due messages, or in which messages died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    """``drain``: end when nothing is due. ``drain_wait``: how long to wait for retries then, in seconds. ``reload``: for development."""

    drain: bool = False
    drain_wait: float = 0.0
    reload: bool = False


def mode_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that passes the modes to a command as its argument ``modes``. Raises UsageError for flags that contradict."""

    def call(*args: object, drain: bool, drain_wait: float | None, reload: bool, **others: object) -> object:
        if drain_wait is not None and not drain:
            raise click.UsageError("--drain-wait has an effect only with --drain")
        return function(*args, modes=Modes(drain=drain, drain_wait=drain_wait or 0.0, reload=reload), **others)

    call.__doc__ = function.__doc__
    call.__dict__.update(function.__dict__)  # the parameters that click has collected
    for option in reversed(_OPTIONS):
        call = option(call)
    return call


_OPTIONS = (
    click.option(
        "--drain",
        is_flag=True,
        help="End when no message is due: for cron and CI. Exit code 5 if due messages are left, or if messages died.",
    ),
    click.option(
        "--drain-wait",
        type=click.FloatRange(min=0, max=31_536_000),
        help="With --drain, longest wait for retries, delayed messages and a handler's target that is down, in seconds after "
        "the last handled message. Default: 0.",
    ),
    click.option(
        "--reload",
        is_flag=True,
        help="For development: restart when Python files in the working directory, or fmq.toml, change.",
    ),
)
