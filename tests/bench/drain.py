"""How fast a listener takes the backlog of its session, beside mosquitto_sub and paho, which store nothing."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench import programs
from bench.load import publish, user_property
from bench.measure import TOPIC, Figures, Goal, Round, Table, await_stored, reading
from fmq.store.backends import open_store
from support.broker import Broker
from support.processes import Processes

_COMMITTED_SHARE = 20
"""One commit per message is so slow that it gets only every n-th message."""
_PROPERTIES = user_property("source", "plant-7") + user_property(
    "traceparent", "00-0af7651916cd43dd8448eb211c80319c-01"
)


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    count: int
    size: int = 120
    version: str = "5"
    inflight: int = 10_000
    properties: bytes = b""
    with_paho: bool = False
    topics: int = 0
    """How many there are; 0: a single one. With several, sizes are uneven, ``size`` on average."""
    syncs: bool = False
    """Whether the bare reader syncs what it reads, as durability asks."""

    @property
    def filter(self) -> str:
        return f"{TOPIC}/#" if self.topics else TOPIC

    @property
    def bare(self) -> str | None:
        """The row of the bare reader, if there is one."""
        if self.version != "5" or self.properties:
            return None
        return self.row(_SYNCED if self.syncs else _STEPPED)

    def payloads(self, count: int) -> Iterator[bytes]:
        rng = random.Random(1)
        for number in range(count):
            yield reading(number, rng.randint(self.size, 3 * self.size) if self.topics else self.size)

    def row(self, kind: str) -> str:
        return f"{kind}: {self.name}"


_OURS, _SUB = "fmq listen, all stored (FULL)", "mosquitto_sub, nothing stored"
_DROPPING, _COMMITTING = "paho, nothing stored", "paho, one commit per message (FULL)"
_STEPPED, _SYNCED = "bare loop: step over, acknowledge", "bare loop: read, write, fsync"
_CASES = (
    _Case("120 B, MQTT 5, inflight 10,000", count=100_000, with_paho=True),
    _Case("120 B, MQTT 3.1.1, inflight 10,000", count=100_000, version="3.1.1", with_paho=True),
    _Case("120 B, MQTT 5 with user properties, inflight 10,000", count=30_000, properties=_PROPERTIES),
    _Case("120 B, MQTT 5, inflight 1,000", count=30_000, inflight=1_000),
    _Case("120 B, MQTT 5, inflight 20", count=30_000, inflight=20, syncs=True),
    _Case("1 KiB, MQTT 5, inflight 10,000", count=20_000, size=1024),
    _Case("64 KiB, MQTT 5, inflight 10,000", count=1_500, size=65_536, syncs=True),
    _Case("200 topics, 120 to 360 B, MQTT 5, inflight 10,000", count=100_000, topics=200),
)
_ABOUT = (
    'The backlog of a persistent session waits in Mosquitto, the same for all of them; "inflight" is its `max_inflight_messages` '
    "and, in MQTT 5, the Receive Maximum of fmq and `mosquitto_sub`. fmq and paho: from the arrival of the first "
    "message in the program to the commit of the last one (its callback, where nothing is stored). `mosquitto_sub` writes to "
    "/dev/null; its time is that of the whole process, less that of one that ends when it has subscribed. The one "
    f"that commits each message takes the first {_COMMITTED_SHARE}th of it. The bare loop is plain Python: it steps over the packets "
    "of a read and acknowledges them at once, and where a sync is the floor it first appends the read to a file and syncs that."
)
TABLES = tuple(
    Table(
        f"drain-{number}",
        f"Listener: {case.name}",
        _ABOUT if number == 1 else "",
        (
            *(case.row(kind) for kind in ((_OURS, _SUB, _DROPPING, _COMMITTING) if case.with_paho else (_OURS, _SUB))),
            *((case.bare,) if case.bare else ()),
        ),
        plotted=case.with_paho,
    )
    for number, case in enumerate(_CASES, 1)
)
GOALS = tuple(
    Goal(f"durable drain / {what}, {case.name}", case.row(_OURS), case.row(kind), least=least)
    for what, kind, least in (
        ("`mosquitto_sub`", _SUB, 1.5),
        ("plain paho callback", _DROPPING, 5.0),
        ("paho, one commit per message", _COMMITTING, 30.0),
    )
    for case in _CASES[:2]
) + tuple(
    Goal(f"durable drain / {what}, {case.name}", case.row(_OURS), row, least=least)
    for case in _CASES
    for what, row, least in (
        ("`mosquitto_sub`", case.row(_SUB), 2.3 if case.topics else None),
        ("the same loop without a store", case.bare, 0.8 if case.topics or case.syncs else None),
    )
    if row and least
)


def measure(turn: Round) -> Figures:
    """Messages a second."""
    figures: Figures = {}
    for number, case in enumerate(_CASES):
        folder = turn.folder / str(number)
        with programs.broker(folder, inflight=case.inflight) as broker:
            runs = _contestants(turn, folder.name, broker, case)
            publish(
                broker.port,
                case.payloads(turn.scaled(case.count)),
                properties=case.properties,
                topics=case.topics,
            )
            figures |= {case.row(kind): run() for kind, run in turn.in_turn(runs)}
    return figures


def _contestants(turn: Round, name: str, broker: Broker, case: _Case) -> list[tuple[str, Callable[[], float]]]:
    """Make a session for each one. Returns what takes its backlog and tells the rate."""
    home = turn.folder / f"home-{name}"
    home.mkdir()
    count, version = turn.scaled(case.count), case.version
    with Processes(home) as processes:
        programs.listen(processes, broker, version=version, topic=case.filter, FMQ_INFLIGHT=case.inflight).terminate()

    def sub(count: int = 0) -> float:
        return programs.mosquitto_sub(broker, "sub", version, inflight=case.inflight, count=count, topic=case.filter)

    def bare(count: int = 0) -> float:
        file = home / "synced" if case.syncs else None
        return programs.bare(broker, "bare", inflight=case.inflight, count=count, topic=case.filter, file=file)

    start = sub()

    def ours() -> float:
        with Processes(home) as processes, open_store(f"sqlite:///{home / 'mqtt_queue.db'}") as queue:
            listener = programs.listen(
                processes, broker, version=version, topic=case.filter, FMQ_INFLIGHT=case.inflight
            )
            end = await_stored(queue, count, case.filter)
            begin = queue.stats(queue.names()[0]).oldest_pending_at
            listener.terminate()
        assert begin is not None
        return count / (end - begin)

    runs: list[tuple[str, Callable[[], float]]] = [
        (_OURS, ours),
        (_SUB, lambda: count / (sub(count) - start)),
    ]
    if case.bare:
        bare()
        runs.append((_SYNCED if case.syncs else _STEPPED, lambda: count / bare(count)))
    if case.with_paho:
        few = count // _COMMITTED_SHARE
        database = home / "paho.db"
        for one in ("dropping", "committing"):
            programs.paho(broker, one, version)
        runs += [
            (_DROPPING, lambda: count / programs.paho(broker, "dropping", version, count=count)),
            (_COMMITTING, lambda: few / programs.paho(broker, "committing", version, count=few, database=database)),
        ]
    return runs
