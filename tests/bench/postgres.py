"""The store on PostgreSQL, alone and with a synchronous standby, against SQLite and against other queues on that server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from time import perf_counter

from bench import programs
from bench.load import Publisher
from bench.measure import Figures, Goal, Round, Table, await_done, await_stored, reading
from bench.postgres_peers import PEERS
from bench.store import fill, take
from fmq.store.backends import open_store
from support.postgres import Postgres
from support.processes import Processes
from support.standby import Standby, wait_for_setting

_COUNT = 40_000
_THROUGH = 100_000
_PEERS_COUNT = 2_000
_BATCH = 500
_MANY = (1, 2, 4)
_SQLITE, _ALONE, _STANDBY = "SQLite", "PostgreSQL", "PostgreSQL, one synchronous standby"
_KINDS = (_SQLITE, _ALONE, _STANDBY)
_SERVER = ("shared_buffers=256MB", "max_wal_size=4GB", "checkpoint_timeout=30min")
_PUT, _TAKE, _THROUGH_ALL = "put", "claim + settle", "listener to no-op processor"
TABLES = (
    *(
        Table(f"postgres-{number}", f"PostgreSQL: {what}", about, tuple(f"{what}, {kind}" for kind in _KINDS))
        for number, (what, about) in enumerate(
            (
                (_PUT, f"{_COUNT:,} messages of 120 B, {_BATCH} a commit, one process. All on this machine and disk."),
                (_TAKE, f"The same messages, {_BATCH} at once."),
                (
                    _THROUGH_ALL,
                    f"{_THROUGH:,} messages that wait in Mosquitto; all programs share this machine. Batches of 1,000.",
                ),
            ),
            1,
        )
    ),
    Table(
        "postgres-peers",
        "PostgreSQL: other queues",
        f"On the same server, {_PEERS_COUNT:,} messages of 120 B. What is taken is marked as done. procrastinate: a worker with a "
        "task that does nothing. The loop is the one of tutorials, `SELECT … FOR UPDATE SKIP LOCKED` and `DELETE`.",
        (f"{_PUT}, {_ALONE}", f"{_TAKE}, {_ALONE}", *(f"{name}, {what}" for what in ("put", "take") for name in PEERS)),
    ),
    Table(
        "postgres-processors",
        "PostgreSQL: several processors",
        "`fmq process` (batch 1,000) with a handler that does nothing, on the same machine as the server.",
        tuple(f"processors on PostgreSQL: {number}" for number in _MANY),
    ),
)
GOALS = (
    *(
        Goal(f"{what}: {kind} / SQLite", f"{what}, {kind}", f"{what}, {_SQLITE}", least=least)
        for what in (_PUT, _TAKE, _THROUGH_ALL)
        for kind, least in ((_ALONE, 0.25), (_STANDBY, 0.15))
    ),
    *(
        Goal(f"PostgreSQL: {ours} / {name}", f"{ours}, {_ALONE}", f"{name}, {theirs}", least=2.0)
        for ours, theirs in ((_PUT, "put"), (_TAKE, "take"))
        for name in ("SKIP LOCKED loop", "procrastinate")
    ),
)


def measure(turn: Round) -> Figures:
    """Messages a second."""
    runs: list[Callable[[], Figures]] = [lambda: _sqlite(turn), lambda: _alone(turn), lambda: _with_standby(turn)]
    figures: Figures = {}
    for run in turn.in_turn(runs):
        figures |= run()
    return figures


def _sqlite(turn: Round) -> Figures:
    return _of_store(turn, _SQLITE, lambda name: f"sqlite:///{turn.folder / name}.db")


def _alone(turn: Round) -> Figures:
    with Postgres(*_SERVER) as server:
        figures = _of_store(turn, _ALONE, lambda name: _database(server, name))
        for number, name in enumerate(PEERS):
            figures |= _of_peer(turn, name, _database(server, f"peer{number}"))
        for number in _MANY:
            figures[f"processors on PostgreSQL: {number}"] = _processors(turn, _database(server, f"p{number}"), number)
    return figures


def _with_standby(turn: Round) -> Figures:
    with with_standbys(1) as servers:
        return _of_store(turn, _STANDBY, lambda name: _database(servers[0], name))


@contextmanager
def with_standbys(number: int) -> Iterator[list[Postgres]]:
    """A server and this number of standbys. A commit waits until any one of them has it on its disk."""
    with ExitStack() as open_until_then:
        server = open_until_then.enter_context(Postgres(*_SERVER))
        standbys = [open_until_then.enter_context(Standby(server, f"standby{one}", *_SERVER)) for one in range(number)]
        if number:
            wait_for_setting(server, "synchronous_standby_names", "ANY 1 (*)")
        yield [server, *standbys]


def _database(server: Postgres, name: str) -> str:
    server.execute(f'CREATE DATABASE "{name}"')
    return server.url.removesuffix("test") + name


def _of_store(turn: Round, kind: str, place: Callable[[str], str]) -> Figures:
    count = turn.scaled(_COUNT)
    with open_store(place("store")) as store:
        figures = {f"{_PUT}, {kind}": fill(store, count, _BATCH), f"{_TAKE}, {kind}": take(store, count, _BATCH)}
    return figures | {f"{_THROUGH_ALL}, {kind}": _through(turn, kind, place("through"))}


def _through(turn: Round, kind: str, url: str) -> float:
    count = turn.scaled(_THROUGH)
    folder = turn.folder / f"through-{kind}"
    folder.mkdir()
    with programs.broker(folder) as broker, Processes(folder) as processes, open_store(url) as store:
        programs.listen(processes, broker, FMQ_QUEUE_URL=url).terminate()
        with Publisher(broker.port) as publisher:
            publisher.send([reading(number) for number in range(count)])
            publisher.finish()
        programs.process(processes, "nothing", FMQ_QUEUE_URL=url, FMQ_BATCH=1_000).wait_to_say("")
        programs.start_listening(processes, broker, FMQ_QUEUE_URL=url)
        began = await_stored(store, 1)
        return count / (await_done(store, count) - began)


def _of_peer(turn: Round, name: str, url: str) -> Figures:
    payloads = [reading(number) for number in range(turn.scaled(_PEERS_COUNT))]
    with closing(PEERS[name](url)) as peer:
        began = perf_counter()
        peer.put(payloads)
        middle = perf_counter()
        peer.take(len(payloads))
        end = perf_counter()
    return {f"{name}, put": len(payloads) / (middle - began), f"{name}, take": len(payloads) / (end - middle)}


def _processors(turn: Round, url: str, number: int) -> float:
    count = turn.scaled(_THROUGH)
    folder = turn.folder / f"processors-{number}"
    folder.mkdir()
    with open_store(url) as store, Processes(folder) as processes:
        fill(store, count)
        marks = [folder / f"began-{one}" for one in range(number)]
        for mark in marks:
            programs.process(processes, "nothing", BENCH_BEGAN=mark, FMQ_QUEUE_URL=url, FMQ_BATCH=1_000)
        end = await_done(store, count)
    return count / (end - min(float(mark.read_text(encoding="ascii")) for mark in marks if mark.exists()))
