"""Options by which operators say which messages they mean, and going through those in steps."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any

import click

from fmq.cli import read_settings, settings_options
from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.commands.parameters import MOMENT
from fmq.message import DeadLetter, Message
from fmq.queue import Durability, Queue, open_queue
from fmq.selection import Found, Selection, State
from fmq.settings import StoreSettings

STEP = 1_000
"""How many messages one commit changes: nobody waits long for the write lock."""
_PAUSES_A_SECOND = 10
_READ, _READ_BYTES = 100, 4 * 1024 * 1024
"""How much of messages commands read at once."""

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
store_options: Decorator = settings_options(StoreSettings, but=("check_integrity", "synchronous"))


def open_store(flags: dict[str, object]) -> Queue:
    """The store that a command's flags and its environment name. Raises SettingsError, StoreRefused, StoreUnavailable."""
    settings = read_settings(StoreSettings, {**flags, "check_integrity": False})
    return open_queue(settings.queue_url, settings.store_options(Durability.NORMAL), create=False)


def selection_options(state: State) -> Decorator:
    """``--topic``, ``--reason``, ``--since`` and ``--until``; the command gets them as one Selection, ``which``."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def with_selection(
            *arguments: object,
            topic: str | None,
            reason: str | None,
            since: float | None,
            until: float | None,
            **options: object,
        ) -> object:
            try:
                which = Selection(state, topic, reason, since, until)
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint="--topic") from error
            return function(*arguments, which=which, **options)

        wrapped: Callable[..., Any] = with_selection
        for option in (
            click.option("--until", type=MOMENT, help="Only those before then."),
            click.option(
                "--since", type=MOMENT, help="Only those from then on: 2h (ago), 2026-11-24, 2026-11-24T08:30Z."
            ),
            click.option("--reason", help="Only those with this text in their reason."),
            click.option("--topic", metavar="FILTER", help="Only those whose topic matches this topic filter."),
        ):
            wrapped = option(wrapped)
        return wrapped

    return decorate


def walk(store: Queue, name: str, which: Selection, *, limit: int = STEP, after_id: int = 0) -> Iterator[Found]:
    """All steps of a search, ``limit`` ids at most in each."""
    after: int | None = after_id
    while after is not None:
        found = store.find(name, which, after_id=after, limit=limit)
        yield found
        after = found.after_id


def read_messages(store: Queue, name: str, ids: Sequence[int]) -> Iterator[Message]:
    """Those messages that there are of ``ids``, which ascend; a few are held at once, or one large one."""
    for start in range(0, len(ids), _READ):
        left = list(ids[start : start + _READ])
        while left:
            found = store.messages(name, left, most_bytes=_READ_BYTES)
            left = [number for number in left if found and number > found[-1].id]
            yield from found
            del found  # before more is read


def read_letters(
    store: Queue, name: str, ids: Sequence[int] | None, *, limit: int, after_id: int = 0
) -> Iterator[DeadLetter]:
    """``limit`` dead letters (those of ``ids``, else all) with an id above ``after_id``, in the same way."""
    while limit > 0:
        found = store.dead_letters(name, ids, limit=min(limit, _READ), after_id=after_id, most_bytes=_READ_BYTES)
        if not found:
            return
        limit -= len(found)
        after_id = found[-1].message.id
        yield from found
        del found


def until_now(which: Selection, clock: Clock = SYSTEM_CLOCK) -> Selection:
    """The same without what comes into the state from now on: what dies again at once is not requeued for ever."""
    now = clock.wall()
    return replace(which, until=now if which.until is None else min(which.until, now))


class Pace:
    """Slows a loop down to ``rate`` messages a second; None: as fast as it goes."""

    def __init__(
        self, rate: float | None, *, clock: Clock = SYSTEM_CLOCK, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._start = clock.steady()
        self._count = 0

    @property
    def step(self) -> int:
        """How many messages to change at once, so that they come evenly."""
        return STEP if self._rate is None else max(1, min(STEP, int(self._rate / _PAUSES_A_SECOND)))

    def after(self, count: int) -> None:
        """Wait until ``count`` more messages are due."""
        self._count += count
        if self._rate is not None:
            ahead = self._start + self._count / self._rate - self._clock.steady()
            if ahead > 0:
                self._sleep(ahead)


def change(
    store: Queue,
    name: str,
    which: Selection,
    by: Callable[[str, Sequence[int]], int],
    *,
    pace: Pace | None = None,
    told: Callable[[int], object] = lambda _count: None,
) -> int:
    """Apply ``by`` to what is meant, step by step; returns how many messages it changed. ``told`` hears of each step's looks."""
    pace = pace or Pace(None)
    total = 0
    for found in walk(store, name, which, limit=pace.step):
        count = by(name, found.ids) if found.ids else 0
        total += count
        told(found.looked_at)
        pace.after(count)
    return total


def count(store: Queue, name: str, which: Selection) -> int:
    """How many messages are meant."""
    return sum(len(found.ids) for found in walk(store, name, which))
