"""The command ``fmq`` with faults built in as a plan says: ``python tests/chaos/entry.py listen …``."""

import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import apsw

from chaos import points
from chaos.broken import BROKEN
from chaos.journal import Journal
from chaos.plan import Plan, read_plan
from fmq.cli.main import main
from fmq.clock import SystemClock
from fmq.errors import QueueError
from fmq.message import Claim
from fmq.store.sqlite.store import SqliteStore
from fmq_listener.mqtt.session import Session
from support.disk import installed
from support.faulty import FaultyDisk
from support.power import PowerCutDisk


def _around(owner: type, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    setattr(owner, name, make(getattr(owner, name)))


def _with_points(name: str, method: str, owner: type, within: list[str]) -> None:
    """``name.before`` and ``name.after`` around a method, and ``name.commit`` at the commit within it."""
    hit = points.ACTIVE.hit

    def make(real: Callable[..., Any]) -> Callable[..., Any]:
        def struck(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - whatever the method takes
            hit(f"{name}.before")
            within.append(name)
            try:
                result = real(*arguments, **more)
            finally:
                within.pop()
            if result or name != "claim":
                hit(f"{name}.after")
            return result

        return struck

    _around(owner, method, make)


def set_points(point: points.Point) -> None:
    """Make the points that a listener and a processor pass."""
    points.activate(point)
    within: list[str] = []

    def on_commit() -> bool:
        if within:
            points.ACTIVE.hit(f"{within[-1]}.commit")
        return False

    apsw.connection_hooks.append(lambda connection: connection.set_commit_hook(on_commit))
    for name, method, owner in (
        ("put", "put", SqliteStore),
        ("claim", "claim", SqliteStore),
        ("settle", "settle", SqliteStore),
        ("puback", "acknowledge", Session),
    ):
        _with_points(name, method, owner, within)

    def received(real: Callable[..., Any]) -> Callable[..., Any]:
        def poll(session: Session, timeout: float) -> Any:  # noqa: ANN401
            batch = real(session, timeout)
            if batch:
                points.ACTIVE.hit("received")
            return batch

        return poll

    _around(Session, "poll", received)


def keep_journal(path: Path) -> None:
    """Note claims and settlements."""
    journal = Journal(path)

    def claimed(real: Callable[..., Any]) -> Callable[..., Any]:
        def claim(queue: SqliteStore, *arguments: Any, lease: float, **more: Any) -> Sequence[Claim]:  # noqa: ANN401
            claims: Sequence[Claim] = real(queue, *arguments, lease=lease, **more)
            journal.claimed(claims, lease=lease)
            return claims

        return claim

    def kept(real: Callable[..., Any]) -> Callable[..., Any]:
        def extend(queue: SqliteStore, *arguments: Any, **more: Any) -> Sequence[Claim]:  # noqa: ANN401
            claims: Sequence[Claim] = real(queue, *arguments, **more)
            journal.kept(claims)
            return claims

        return extend

    def settling(real: Callable[..., Any]) -> Callable[..., Any]:
        def settle(queue: SqliteStore, settlements: Iterable[tuple[Claim, Any]], **more: Any) -> Sequence[Claim]:  # noqa: ANN401
            known = list(settlements)
            journal.settling((claim for claim, _ in known), now=queue._database.now())
            result: Sequence[Claim] = real(queue, known, **more)
            return result

        return settle

    _around(SqliteStore, "claim", claimed)
    _around(SqliteStore, "extend", kept)
    _around(SqliteStore, "settle", settling)


def note_failures(path: Path) -> None:
    """Note the names of the store's calls that fail."""

    def noting(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def make(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - whatever the method takes
                try:
                    return real(*arguments, **more)
                except QueueError:
                    with path.open("a", encoding="ascii") as notes:
                        notes.write(f"{name}\n")
                    raise

            return call

        return make

    for name in ("claim", "extend", "settle", "services"):
        _around(SqliteStore, name, noting(name))


def shift_clock(file: Path) -> None:
    """Add the seconds in ``file`` to the wall clock, as they are at each moment.

    Two more words there are the name of the boot and the moment at which its steady clock began. A machine boots while no
    process of it runs: they hold for the life of a process.
    """

    def words() -> list[str]:
        return file.read_text(encoding="ascii").split()

    def wall(_clock: SystemClock) -> float:
        return time.time() + float(words()[0])

    if boot := words()[1:]:
        real, began = SystemClock.steady, float(boot[1])
        setattr(SystemClock, "steady", lambda clock: real(clock) - began)  # noqa: B010 - mypy takes no assignment to a method
        setattr(SystemClock, "boot_id", lambda _: boot[0])  # noqa: B010
    setattr(SystemClock, "wall", wall)  # noqa: B010 - mypy takes no assignment to a method


def void(_: object) -> None:
    """Forget a value."""


def run(plan: Plan) -> None:
    """Run the command as the plan says."""
    if plan.broken:
        BROKEN[plan.broken]()
    if plan.journal:
        keep_journal(Path(plan.journal))
    if plan.point:
        set_points(plan.point)
    if plan.clock:
        shift_clock(Path(plan.clock))
    if plan.struck:
        note_failures(Path(plan.struck))
    if plan.pages:
        apsw.connection_hooks.append(lambda connection: void(connection.pragma("max_page_count", plan.pages)))
    with ExitStack() as stack:
        if plan.power:
            seed, after, folder = plan.power
            disk = PowerCutDisk(random.Random(seed), cut_after=after, kill_into=Path(folder))
            stack.enter_context(installed(disk))
        if plan.disk:
            stack.enter_context(installed(FaultyDisk(Path(plan.disk))))
        main()


if __name__ == "__main__":
    run(read_plan())
