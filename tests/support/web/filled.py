"""A store with a queue that has something of everything, for what reads it."""

from dataclasses import dataclass
from pathlib import Path

from fmq.message import Incoming, Properties, Terms
from fmq.outcome import Cause, Dead, Done, RetryLater
from fmq.store.records import ServiceReport
from fmq.store.roles import Store
from support.backends import BackendUnderTest, SqliteUnderTest
from support.clock import FakeClock

QUEUE = "sensors/+/temp"
EMPTY = "empty"
PROPERTIES = Properties(
    content_type="text/\u202eplain", correlation_data=b"\x00\xff", user_properties=(("<b>", "\ud800"), ("a", "b"))
)


@dataclass(frozen=True, slots=True)
class Filled:
    """``ids`` are those of QUEUE by the topic's middle level, which is the state; ``backend`` opens more connections."""

    store: Store
    clock: FakeClock
    backend: BackendUnderTest
    ids: dict[str, int]

    @property
    def path(self) -> Path:
        """The file of a SQLite store."""
        assert isinstance(self.backend, SqliteUnderTest)
        return self.backend.path


def fill(folder: Path, backend: BackendUnderTest | None = None) -> Filled:
    """Messages in each state, a second apart, dead letters in two groups, an empty queue, one service of each kind."""
    backend = backend or SqliteUnderTest(folder)
    clock, store = backend.clock, backend.open()
    store.declare(QUEUE)
    store.declare(EMPTY)
    names = ("done", "dead1", "dead2", "dead3", "retry", "claimed", "delayed", "new")
    for name in names:
        terms = {0: Terms(delay=600)} if name == "delayed" else {}
        payload = f'{{"from": "{name}"}}'.encode()
        store.put([Incoming(QUEUE, f"sensors/{name}/temp", payload, clock.wall(), properties=PROPERTIES)], terms=terms)
        clock.advance(1)
    claims = {one.message.topic.split("/")[1]: one for one in store.claim(QUEUE, 6, lease=60)}
    store.settle(
        [
            (claims["done"], Done()),
            (claims["dead1"], Dead("no route to 10.0.0.1\nTraceback", Cause.REJECTED)),
            (claims["dead2"], Dead("no route to 10.0.0.2", Cause.REJECTED)),
            (claims["dead3"], Dead("another", Cause.REJECTED)),
            (claims["retry"], RetryLater(300, "refused", Cause.UNAVAILABLE)),
        ],
        worker="host/7",
    )
    for report in reports(clock):
        store.report(report)
    ids = {one.topic.split("/")[1]: one.id for one in store.messages(QUEUE, sorted(backend.ids(QUEUE)))}
    return Filled(store, clock, backend, ids)


def reports(clock: FakeClock) -> tuple[ServiceReport, ServiceReport]:
    """A listener of both queues and a processor of all, well and at work."""
    times = {QUEUE: {"count": 9, "p50": 0.1, "p95": 2.5}, EMPTY: {"count": 1, "p50": 0.4, "p95": 0.5}}
    state = {"queues": [], "handler": "log", "circuit": "closed", "in_hand": 1, "time_in_system": times}
    began = clock.wall()
    return (
        ServiceReport(
            "listener a/1", "listener", "a", 1, "0.2.0", began, {"queues": [QUEUE, EMPTY], "connected": True}
        ),
        ServiceReport("processor a/2", "processor", "a", 2, "0.2.0", began, state),
    )
