"""Messages that flow: a real publisher, broker, listeners with a shared subscription, and processors on a cluster."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from chaos.publisher import Publisher
from cluster.checker import Verdict, check
from fmq.errors import QueueError
from fmq.message import QueueStats
from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.broker import Broker
from support.processes import FmqProcess, Processes
from support.wait import wait_for

QUEUE = "a/#"
SUBSCRIBED = "Connected and subscribed successfully"
LEASE_SECONDS = 10
"""Processors commit with NORMAL: what the primary had not written yet comes again when its lease is over."""
_TESTS = Path(__file__).resolve().parents[1]


class Traffic:
    """``count`` messages through the services; no further than ``allow`` says."""

    def __init__(self, folder: Path, url: str, count: int, *, listeners: int = 2, processors: int = 2) -> None:
        self.folder = folder
        self.url = url
        self._count = count
        self._sizes = (listeners, processors)
        self._ends = ExitStack()
        self.broker = Broker(folder / "broker")
        self.journal = folder / "handled"
        self.processes = Processes(folder)
        self.publisher = Publisher(self.broker.port, [f"a/{number}" for number in range(9)], count=count, allowed=0)
        self.listeners: list[FmqProcess] = []
        self.processors: list[FmqProcess] = []

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as ends:
            ends.enter_context(self.broker)
            ends.enter_context(self.processes)
            self.journal.touch()
            listeners, processors = self._sizes
            self.listeners = [self.listen(f"listener-{number}") for number in range(listeners)]
            for one in self.listeners:
                one.wait_to_say(SUBSCRIBED, 60)
            self.processors = [self.process() for _ in range(processors)]
            self.store = ends.enter_context(open_store(self.url, create=False))
            ends.enter_context(self.publisher)
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ends.close()

    def listen(self, client_id: str) -> FmqProcess:
        return self.processes.start(
            "listen",
            f"$share/group/{QUEUE}",
            FMQ_BROKER_URL=self.broker.url,
            FMQ_QUEUE_URL=self.url,
            FMQ_CLIENT_ID=client_id,
            FMQ_DUPLICATES="session",
            FMQ_RETENTION_SECONDS="forever",
        )

    def process(self) -> FmqProcess:
        return self.processes.start(
            "process",
            QUEUE,
            FMQ_QUEUE_URL=self.url,
            FMQ_HANDLER="cluster.handlers:note",
            FMQ_BATCH=500,
            FMQ_LEASE_SECONDS=LEASE_SECONDS,
            CLUSTER_JOURNAL=self.journal,
            PYTHONPATH=_TESTS,
        )

    def allow(self, count: int) -> None:
        """Let the publisher go on up to this number of messages."""
        self.publisher.allowed = count

    def stats(self) -> QueueStats | None:
        """The queue's figures; None without a primary."""
        return figures(self.store)

    def await_stored(self, count: int, deadline: float = 90) -> None:
        """Wait until this number of messages is stored."""
        wait_for(
            lambda: (found := self.stats()) is not None and found.stored >= count, deadline, what=f"{count} messages"
        )

    def finish(self, deadline: float) -> Verdict:
        """Wait until everything is published and handled, and check."""
        self.allow(self._count)
        self.publisher.finish(deadline)
        assert self.publisher.sent_again == 0
        self.await_stored(self._count, deadline)
        wait_for(self.is_idle, deadline, what="all messages to be handled")
        return self.end()

    def end(self) -> Verdict:
        """End the services in order, and check."""
        for service in (*self.processors, *self.listeners):
            assert service.terminate(60) == 0, service.text[-4_000:]
            assert not [line for line in service.log if line["level"] == "CRITICAL"]
        return check(self.url, self._count, self.journal)

    def is_idle(self) -> bool:
        """Whether nothing is left to handle."""
        found = self.stats()
        return found is not None and found.pending == found.claimed == 0


def figures(store: Store) -> QueueStats | None:
    """The queue's; None without a primary."""
    try:
        return store.stats(QUEUE)
    except QueueError:
        return None


def problem(service: FmqProcess, about: str) -> str | None:
    """What /readyz says is wrong with the ``store`` or another subject; None if nothing is."""
    found = json.loads(service.get("readyz"))["checks"][about]
    return None if found == "ok" else str(found)


def is_ready(service: FmqProcess) -> bool:
    """What /readyz says."""
    return bool(json.loads(service.get("readyz"))["status"] == "ok")
