"""A real broker, real listeners and processors with faults built in, and what they leave behind."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from chaos.checker import check_deeds, check_file, check_store, missing
from chaos.journal import read_journal
from chaos.plan import Plan
from chaos.scenario import Result
from support.broker import Broker
from support.counting import query
from support.processes import FmqProcess, Processes
from support.wait import wait_for

ENTRY = Path(__file__).with_name("entry.py")
FILTER = "chaos/#"
SUBSCRIBED = "Connected and subscribed successfully"
_STALLED_SECONDS = 60.0
_TESTS = Path(__file__).resolve().parents[1]


def topics(count: int = 8) -> Sequence[str]:
    """Concrete topics that FILTER matches."""
    return [f"chaos/{number}" for number in range(count)]


class Rig:
    """One broker and one store in ``folder``. ``url`` is where listeners find the broker; a proxy may stand there."""

    def __init__(self, folder: Path, *, broker_config: Sequence[str] = (), store: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.broker = Broker(folder / "broker", broker_config)
        self.url = self.broker.url
        self.database = (store or folder) / "queue.db"
        self.journal = folder / "journal"
        self.processes = Processes(folder, program=(sys.executable, str(ENTRY)))

    def listener(self, plan: Plan | None = None, *filters: str, **settings: object) -> FmqProcess:
        """Start a listener; it keeps one client id, and so one session, over all its lives."""
        environ = {
            "FMQ_BROKER_URL": self.url,
            "FMQ_QUEUE_URL": f"sqlite:///{self.database}",
            "FMQ_CLIENT_ID": "chaos-listener",
            "FMQ_RECONNECT_MAX_SECONDS": 0.5,
            **(plan or Plan()).environ(),
            **settings,
        }
        return self.processes.start("listen", *(filters or (FILTER,)), **environ)

    def processor(self, plan: Plan | None = None, **settings: object) -> FmqProcess:
        """Start a processor that journals its claims and what its handler got."""
        plan = plan or Plan()
        environ = {
            "FMQ_QUEUE_URL": f"sqlite:///{self.database}",
            "FMQ_HANDLER": "chaos.handlers:note",
            "FMQ_BATCH": 100,
            "FMQ_SLEEP": 0.1,
            "FMQ_LEASE_SECONDS": 1,
            "FMQ_MAX_RETRIES": 1000,
            "CHAOS_JOURNAL": self.journal,
            "PYTHONPATH": _TESTS,
            **plan.environ(),
            **settings,
        }
        return self.processes.start("process", FILTER, **environ)

    def prepare(self) -> None:
        """Make the listener's session at the broker, so that nothing published later passes it by."""
        listener = self.listener()
        listener.wait_to_say(SUBSCRIBED, 60)
        assert listener.terminate() == 0

    def unhandled(self) -> int:
        """How many messages are stored and not settled."""
        return self._count("pending + claimed")

    def stored(self) -> int:
        """How many messages were ever stored."""
        return self._count("stored")

    def _count(self, what: str) -> int:
        """A sum over all queues. Only read: who opens a store takes part in its clock, which some scenarios move."""
        if not self.database.exists():
            return 0
        return int(query(self.database, f"SELECT ifnull(sum({what}), 0) FROM fmq_queue")[0][0])

    def await_all(self, published: int, deadline: float) -> None:
        """Wait until everything is stored and nothing is left to handle."""
        wait_for(lambda: self.stored() >= published, deadline, what=f"{published} messages in the store")
        self.await_handled(deadline)
        # Some of those were copies; then others are still to come.
        wait_for(lambda: not missing(self.database, published), deadline, what="the last messages")
        self.await_handled(deadline)

    def await_handled(self, deadline: float) -> None:
        """Wait until nothing is left to handle. Fails as soon as the number stands still for a minute."""
        end = time.monotonic() + deadline
        left, since = self.unhandled(), time.monotonic()
        while left:
            time.sleep(0.05)
            if (now := self.unhandled()) != left:
                left, since = now, time.monotonic()
            elif (stalled := time.monotonic() - since) > _STALLED_SECONDS or time.monotonic() > end:
                raise AssertionError(f"{left} messages are left; none was handled for {stalled:.0f} s")

    def judge(self, result: Result, published: int, *, in_order: bool = False, handled: bool = True) -> None:
        """Hold what is there against what was published. Nothing may run any more."""
        stored = check_store(self.database, published)
        result.lost += stored.lost
        result.duplicated += stored.duplicated
        result.faults += stored.faults
        if handled:
            never, faults = check_deeds(read_journal(self.journal), range(published), in_order=in_order)
            result.lost += max(0, never - stored.lost)
            result.faults += faults
        result.messages += published

    def judge_deeds(self, result: Result, published: int) -> None:
        """The same where retention has deleted what was handled: only the journal knows."""
        never, faults = check_deeds(read_journal(self.journal), range(published))
        result.lost += never
        result.faults += [*faults, *check_file(self.database)]
        result.messages += published

    def __enter__(self) -> Self:
        self.broker.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.processes.__exit__(*exc)
        self.broker.stop()


def end(result: Result, *processes: FmqProcess) -> None:
    """Ask processes to end; another exit code than 0 is a fault."""
    for process in processes:
        if (code := process.terminate()) != 0:
            result.faults.append(f"exit code {code}: {process.text[-400:]}")


def quiet(count: Callable[[], int], seconds: float, deadline: float) -> int:
    """Wait until ``count`` has not changed for ``seconds``; returns it."""
    end = time.monotonic() + deadline
    last, since = count(), time.monotonic()
    while time.monotonic() - since < seconds and time.monotonic() < end:
        time.sleep(0.05)
        if (now := count()) != last:
            last, since = now, time.monotonic()
    return last
