"""Stores at the edge whose messages go to one PostgreSQL server at the centre, each once."""

import shutil
from collections import Counter
from collections.abc import Iterator

import pytest

from fmq.message import Incoming
from fmq.store.backends import backend_of, open_store
from fmq.store.selection import Selection, State
from support.lossy import LossyProxy
from support.postgres import Postgres
from support.processes import FmqProcess, Processes
from support.wait import wait_for

pytestmark = pytest.mark.postgres

_QUEUE = "s/#"
_MESSAGES = 1_500
_COMMITTED = b"COMMIT\0"
"""What a reply of the server has in it when it has committed (PostgreSQL's protocol, CommandComplete)."""


class Edge:
    """A store with messages, and a processor that sends them to the centre."""

    def __init__(self, fmq: Processes, name: str, target: str) -> None:
        self.path = fmq.folder / f"{name}.db"
        self.url = f"sqlite:///{self.path}"
        self._fmq = fmq
        self._name = name
        self._target = target

    def put(self, numbers: range) -> None:
        with open_store(self.url) as store:
            store.declare(_QUEUE)
            store.identity()  # made by the listener at its first start
            store.put([Incoming(_QUEUE, f"s/{self._name}", f"{self._name} {n}".encode(), 100.0 + n) for n in numbers])

    @property
    def waiting(self) -> int:
        with open_store(self.url) as store:
            stats = store.stats(_QUEUE)
            return stats.pending + stats.claimed

    def start(self) -> FmqProcess:
        return self._fmq.start(
            "process",
            FMQ_QUEUE_URL=self.url,
            FMQ_HANDLER="queue",
            FMQ_QUEUE_TARGET_URL=self._target,
            FMQ_BATCH=50,
            FMQ_LEASE_SECONDS=2,
            FMQ_HANDLER_TIMEOUT=15,
            FMQ_MAX_RETRIES=1_000,
            FMQ_BACKOFF_INITIAL=0.05,
            FMQ_BACKOFF_MAXIMUM=0.2,
            FMQ_CIRCUIT_INITIAL=0.1,
            FMQ_CIRCUIT_MAXIMUM=0.5,
        )

    def send_all(self) -> None:
        """Until nothing waits here."""
        processor = self.start()
        wait_for(lambda: not self.waiting, 60, what=f"{self._name} to send everything")
        assert processor.terminate() == 0


@pytest.fixture
def server() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


@pytest.fixture
def proxy(server: Postgres) -> Iterator[LossyProxy]:
    with LossyProxy(server.port) as running:
        yield running


@pytest.fixture
def edges(fmq: Processes, proxy: LossyProxy) -> tuple[Edge, Edge]:
    """Two, whose messages have the same ids and times of receipt."""
    target = f"postgresql://fmq@127.0.0.1:{proxy.port}/test"
    return Edge(fmq, "north", target), Edge(fmq, "south", target)


def arrived(server: Postgres) -> Counter[str]:
    with open_store(server.url, create=False) as store:
        found: list[str] = []
        after = None
        while True:
            step = store.find(_QUEUE, Selection(State.ANY), after_id=after, limit=1_000)
            found += [one.text for one in store.messages(_QUEUE, step.ids)]
            after = step.after_id
            if after is None:
                return Counter(found)


def expected(numbers: dict[str, int]) -> Counter[str]:
    return Counter(f"{name} {n}" for name, count in numbers.items() for n in range(count))


@pytest.mark.timeout(240)
def test_each_message_once(server: Postgres, proxy: LossyProxy, edges: tuple[Edge, Edge]) -> None:
    """Although processors are killed, replies to commits are lost, and the server crashes."""
    for edge in edges:
        edge.put(range(_MESSAGES))
    north, south = (edge.start() for edge in edges)
    for left in (1_200, 900, 600):
        wait_for(lambda: edges[0].waiting <= left, 90, what="north's progress")  # noqa: B023 - asked at once
        proxy.lose_next_reply(_COMMITTED)
        wait_for(lambda: proxy.lost.is_set() or not sum(edge.waiting for edge in edges), 30, what="a lost reply")
        north.kill()
        north = edges[0].start()
        if left == 900:
            server.restart()
    wait_for(lambda: not sum(edge.waiting for edge in edges), 90, what="everything to be sent")
    assert north.terminate() == 0
    assert south.terminate() == 0
    assert arrived(server) == expected({"north": _MESSAGES, "south": _MESSAGES})


def test_stores_that_come_and_go(server: Postgres, edges: tuple[Edge, Edge]) -> None:
    """A new store in the place of one that was set aside has the same ids: its messages are new. A restored one sends nothing twice."""
    edge = edges[0]
    edge.put(range(20))
    backend_of(edge.url).back_up(edge.url, str(edge.path.with_name("copy.db")), on_progress=lambda *_: None)
    edge.send_all()
    assert arrived(server) == expected({"north": 20})
    backend_of(edge.url).set_aside(edge.url)
    edge.put(range(20))
    edge.send_all()
    assert arrived(server) == expected({"north": 20}) + expected({"north": 20})
    backend_of(edge.url).set_aside(edge.url)
    shutil.copy(edge.path.with_name("copy.db"), edge.path)
    edge.put(range(20, 22))
    edge.send_all()
    assert arrived(server) == expected({"north": 22}) + expected({"north": 20})
