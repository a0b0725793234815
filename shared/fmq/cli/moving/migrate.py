"""`fmq migrate`: moves all messages to another store, while a listener fills that one already."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import click

from fmq.cli.common.asking import confirm
from fmq.cli.common.auditing import Progress, audited
from fmq.cli.common.numbers import Rate
from fmq.cli.common.output import progress_bar, say
from fmq.cli.common.parameters import SPAN
from fmq.cli.common.stopping import Stop, stoppable
from fmq.cli.common.table import print_table
from fmq.cli.help import SettingsCommand
from fmq.cli.main import read_settings
from fmq.errors import FmqError, QueueError, SettingsError, Stopped, StoreUnavailable
from fmq.message import QueueStats
from fmq.service.settings import StoreSettings
from fmq.store.backends import backend_of, open_store, same_store
from fmq.store.moving.handover import Handover, require_different, require_no_listener
from fmq.store.moving.mover import Mover, on_its_way, take_back
from fmq.store.options import Durability
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq.store.steps import Pace, walk
from fmq.text import counted, without_password

_KIND = "migrate"
_UNSETTLED = (State.PENDING, State.CLAIMED)
_LOOK_SECONDS = 0.5


@click.command(cls=SettingsCommand, short_help="Move all messages to another store, while more come in.")
@click.option("--from", "source_url", required=True, metavar="URL", help="The store to move the messages from.")
@click.option("--to", "target_url", metavar="URL", help="The store to move them to. Created if it does not exist.")
@click.option("--queue", "queues", multiple=True, metavar="QUEUE", help="Move only this queue. May be repeated.")
@click.option("--done", is_flag=True, help="Also move handled messages. Without it they stay in the old store.")
@click.option(
    "--prepare", is_flag=True, help="Stop before the first message, when the listener can start on the new store."
)
@click.option("--rate", type=Rate(), help="Maximum number of messages per second.")
@click.option(
    "--wait",
    "wait_seconds",
    type=SPAN,
    default="60s",
    show_default=True,
    help="How long to wait for messages that processors hold.",
)
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@click.option(
    "--lost",
    is_flag=True,
    help="Without --to: the target is lost for good. Put messages that were on their way to it into their queues again.",
)
@click.option("--yes", is_flag=True, help="Don't ask.")
def migrate(
    *,
    source_url: str,
    target_url: str | None,
    queues: tuple[str, ...],
    done: bool,
    prepare: bool,
    rate: float | None,
    wait_seconds: float,
    dry_run: bool,
    lost: bool,
    yes: bool,
) -> None:
    """Move messages from one store to another, each exactly once, with state, times, reasons and failed attempts.

    Stop the listener, run this command, and start the listener on the new store as soon as the command says so: the
    broker keeps what comes meanwhile. Processors may run on both stores. If the command is stopped or killed, run it again.

    Exit 1 if messages are left, because processors hold them.
    """
    if target_url is None:
        if not lost:
            raise click.UsageError("Expected --to, or --lost if the target is lost.")
        _take_back(source_url, yes=yes)
        return
    shown = without_password(source_url), without_password(target_url)
    with suppress(SettingsError):  # stores of two kinds
        if same_store(source_url, target_url):
            raise FmqError("--from and --to name the same store")
    with ExitStack() as opened:
        source = opened.enter_context(_open(source_url, create=False))
        names = _chosen(source, queues)
        if dry_run:
            target = opened.enter_context(_open(target_url, create=False)) if _is_store(target_url) else None
            _plan(source, target, names, done=done, shown=shown)
            return
        require_no_listener(source)
        target = opened.enter_context(_open(target_url, create=True))
        require_different(source.identity(), target.identity())
        handover = Handover(source, target, source_name=shown[0], target_name=shown[1])
        for line in handover.prepare(names):
            say(line)
        say(
            f"Prepared {without_password(target_url)} with {counted(len(names), 'queue')}. Start the listener and processors on it now"
        )
        if prepare:
            return
        report = "The table says what was moved. Run the same command again: it goes on where this one ended"
        with stoppable(lambda: report) as stop:
            run = _Run(source, target, handover, rate, stop, done=done, wait_seconds=wait_seconds)
            with _told(run):
                run.all(names, shown)
    if run.left:
        raise FmqError(
            f"{counted(run.left, 'message')} left, held by processors: run the command again when they are settled"
        )


def _open(url: str, *, create: bool) -> Store:
    """Both stores sync each commit: a message that has left one store has to be safe in the other."""
    settings = read_settings(
        StoreSettings, {"queue_url": url, "check_integrity": False, "synchronous": Durability.FULL}
    )
    return open_store(url, settings.store_options(Durability.FULL), create=create)


def _take_back(url: str, *, yes: bool) -> None:
    with _open(url, create=False) as source:
        count = on_its_way(source)
        if count and not yes:
            what = f"Put {counted(count, 'message')} back? If the target has them after all, they are handled twice."
            confirm(what)
        with audited(source, _KIND, "", "put back what was on its way") as progress:
            progress.add(take_back(source))
        say(f"Put {counted(progress.changed, 'message')} back")


def _is_store(url: str) -> bool:
    """Whether there is a store already; also False if nothing can be said of it."""
    with suppress(StoreUnavailable):
        return backend_of(url).is_store(url)
    return False


def _chosen(source: Store, queues: Sequence[str]) -> Sequence[str]:
    there = source.names()
    for name in queues:
        if name not in there:
            source.stats(name)  # raises the error that names it
    return list(dict.fromkeys(queues)) or there


def _plan(source: Store, target: Store | None, names: Sequence[str], *, done: bool, shown: tuple[str, str]) -> None:
    """Print what a run would do."""
    try:
        require_no_listener(source)
    except FmqError as error:
        say(f"First: {error}")
    rows = []
    for one in (stats for stats in source.all_stats() if stats.name in names):
        order = "in order: paused in both stores while its messages move" if source.ordered(one.name) else "-"
        rows.append((one.name, one.pending, one.claimed, one.dead, one.done if done else 0, order))
    print_table(("QUEUE", "PENDING", "CLAIMED", "DEAD", "DONE", "DELIVERY"), rows)
    if target is None:
        say("The target has no store yet. A run creates it")
    else:
        require_different(source.identity(), target.identity())
        handover = Handover(source, target, source_name=shown[0], target_name=shown[1])
        for line in handover.refusals(names):
            say(f"Refused: {line}")
        if handover.is_done:
            say("The target is prepared: notes of listeners and keys of duplicates were copied before")
    say("Would move the messages above; claimed ones when they are settled or their leases have ended")


class _Run:
    """Moves queue by queue."""

    def __init__(
        self,
        source: Store,
        target: Store,
        handover: Handover,
        rate: float | None,
        stop: Stop,
        *,
        done: bool,
        wait_seconds: float,
    ) -> None:
        self._source = source
        self._target = target
        self._handover = handover
        self._pace = Pace(rate, sleep=stop.wait)
        self._stop = stop
        self._settled = (State.DEAD, State.DONE) if done else (State.DEAD,)
        self._wait_seconds = wait_seconds
        self.mover = Mover(source, target)
        self.left = 0

    def all(self, names: Sequence[str], shown: tuple[str, str]) -> None:
        """Move all queues."""
        if resumed := self.mover.resume():
            say(f"Delivered {counted(resumed, 'message')} that an earlier run had left on their way")
        for name in names:
            stats = self._source.stats(name)
            length = stats.pending + sum(getattr(stats, state) for state in self._settled)
            with (
                audited(self._source, _KIND, name, f"to {shown[1]}") as gone,
                audited(self._target, _KIND, name, f"from {shown[0]}") as arrived,
                progress_bar(length, f"moving {name}") as bar,
            ):
                steps = _Steps(gone, arrived, bar.update)
                try:
                    self._queue(name, steps.after)
                finally:
                    steps.note()
        self.mover.finish()

    def _queue(self, name: str, on_step: Callable[[int], object]) -> None:
        keep_ids = self._handover.begin(name)
        end = time.monotonic() + self._wait_seconds
        waits = False
        while True:
            for state in _UNSETTLED:
                self._state(name, state, on_step, keep_ids=keep_ids)
            stats = self._source.stats(name)
            if not _unsettled(stats):
                break
            if not waits:
                say(
                    f"Waiting up to {self._wait_seconds:g} s for {counted(_unsettled(stats), 'message')} of {name} that processors hold"
                )
                waits = True
            if time.monotonic() > end:
                self.left += _unsettled(stats)
                break
            self._stop.wait(_LOOK_SECONDS)
        for state in self._settled:
            self._state(name, state, on_step, keep_ids=keep_ids)
        if keep_ids and not _unsettled(stats):
            self._handover.end(name)

    def _state(self, name: str, state: State, on_step: Callable[[int], object], *, keep_ids: bool) -> None:
        for found in walk(self._source, name, Selection(state), limit=self._pace.step):
            left = list(found.ids)
            while left and (moved := self.mover.move(name, left, state, keep_ids=keep_ids)):
                on_step(len(moved))
                self._stop.check()
                self._pace.after(len(moved))
                gone = set(moved)
                left = [one for one in left if one not in gone]


def _unsettled(stats: QueueStats) -> int:
    return stats.pending + stats.claimed


class _Steps:
    """Shows progress at each step, and records it in both stores once a second: each record is a commit."""

    def __init__(self, gone: Progress, arrived: Progress, show: Callable[[int], object]) -> None:
        self._gone = gone
        self._arrived = arrived
        self._show = show
        self._count = 0
        self._noted_at = time.monotonic()

    def after(self, count: int) -> None:
        """A step has moved ``count`` messages."""
        self._show(count)
        self._count += count
        if time.monotonic() - self._noted_at > 1:
            self.note()

    def note(self) -> None:
        """Record all steps so far. A failure to record them does not stop the run."""
        count, self._count = self._count, 0
        self._noted_at = time.monotonic()
        with suppress(QueueError):
            self._gone.add(count)
            self._arrived.add(count)


@contextmanager
def _told(run: _Run) -> Iterator[None]:
    """Print the sums at the end, however it comes."""
    try:
        yield
    except BaseException as error:
        with suppress(QueueError):
            run.mover.finish()
        _sums(run.mover)
        if not isinstance(error, Stopped):  # which says the same
            say("Not finished. Run the same command again: it goes on where this one ended")
        raise
    _sums(run.mover)


def _sums(mover: Mover) -> None:
    rows = [
        (
            name,
            *(one.states[state] for state in (*_UNSETTLED, State.DEAD, State.DONE)),
            one.states.total(),
            one.checked,
            one.size,
        )
        for name, one in sorted(mover.moved.items())
    ]
    if rows:
        print_table(("QUEUE", "PENDING", "LAPSED", "DEAD", "DONE", "MOVED", "COMPARED", "BYTES"), rows)
    say(f"Moved {counted(sum(one.states.total() for one in mover.moved.values()), 'message')}")
