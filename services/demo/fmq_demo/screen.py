"""What people see: a live table in a terminal, plain lines elsewhere."""

from typing import Protocol, Self

from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.table import Table

from fmq_demo.figures import Figures, Rates, Snapshot

_PLAIN_WIDTH = 120
_PLAIN_SECONDS = 1.0
_LIVE_SECONDS = 0.5


class Screen(Protocol):
    """Shows a snapshot every ``every`` seconds while it is entered."""

    every: float

    def show(self, snapshot: Snapshot, speed: Rates, *, elapsed: float) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class LiveScreen:
    """A table that is drawn anew in its place."""

    every = _LIVE_SECONDS

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def show(self, snapshot: Snapshot, speed: Rates, *, elapsed: float) -> None:
        title = (
            f"{elapsed:.0f} s   published {speed.published:,.0f}/s   stored {speed.stored:,.0f}/s   "
            f"processed {speed.done:,.0f}/s   (Ctrl-C ends it)"
        )
        self._live.update(figures_table(snapshot, title=title), refresh=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()


class LineScreen:
    """One line at a time, for logs and pipes."""

    every = _PLAIN_SECONDS

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, snapshot: Snapshot, speed: Rates, *, elapsed: float) -> None:
        say(self._console, line(snapshot.total, speed, elapsed=elapsed))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return


def make_console() -> Console:
    """Standard output; where it is no terminal it has a fixed width, and no colours."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def make_screen(console: Console) -> Screen:
    """What fits to where the output goes."""
    return LiveScreen(console) if console.is_terminal else LineScreen(console)


def say(console: Console, text: str) -> None:
    """Print text as it is: never wrapped, so that commands can be copied."""
    console.print(text, markup=False, soft_wrap=True)


def line(total: Figures, speed: Rates, *, elapsed: float) -> str:
    """All queues in one line."""
    return (
        f"{elapsed:5.1f} s  published {total.published:,} ({speed.published:,.0f}/s)  stored {total.stored:,}  "
        f"processed {total.done:,} ({speed.done:,.0f}/s)  pending {total.waiting:,}  retries {total.retries:,}  "
        f"dead {total.dead:,}"
    )


def figures_table(snapshot: Snapshot, *, title: str | None = None) -> Table:
    """A row for each queue, and one for all."""
    table = Table(box=SIMPLE, padding=0, title=title, title_justify="left", title_style="bold", show_footer=True)
    total = snapshot.total
    table.add_column("queue", footer="all")
    for name, style, footer in (
        ("published", "", total.published),
        ("stored", "", total.stored),
        ("pending", "yellow", total.pending),
        ("in hand", "yellow", total.claimed),
        ("processed", "green", total.done),
        ("retries", "magenta", total.retries),
        ("dead", "red", total.dead),
    ):
        table.add_column(name, footer=f"{footer:,}", justify="right", style=style, footer_style="bold")
    for name, one in snapshot.queues:
        row = (one.published, one.stored, one.pending, one.claimed, one.done, one.retries, one.dead)
        table.add_row(name, *(f"{value:,}" for value in row))
    return table
