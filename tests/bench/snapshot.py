"""What an old snapshot on a PostgreSQL server costs the claims of a store: in another database, and in the store's own."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg

from bench.measure import TOPIC, Figures, Goal, Round, Table, reading
from fmq.message import Incoming
from fmq.outcome import Done
from fmq.store.backends import open_store
from fmq.store.options import Durability, StoreOptions
from fmq.store.roles import Store
from support.postgres import Postgres

_SLICES, _SLICE = 12, 20_000
_BATCH = 500
_SETTINGS = ("shared_buffers=128MB", "max_wal_size=4GB", "autovacuum_naptime=5s")
_ALONE, _ELSEWHERE, _HERE = (
    "no snapshot",
    "an old snapshot in another database",
    "an old snapshot in the store's database",
)
TABLES = (
    Table(
        "snapshot",
        "An old snapshot on the server of a store",
        f"PostgreSQL, a server each, {_SLICES} times in turn: put, claim and settle {_SLICE:,} messages of 120 B, {_BATCH} at once. "
        "Messages a second that were claimed and settled, in the second half.",
        (_ALONE, _ELSEWHERE, _HERE),
    ),
)
GOALS = (Goal("old snapshot in another database / none", _ELSEWHERE, _ALONE, least=0.8),)


def measure(turn: Round) -> Figures:
    """Messages a second. In slices, so that whatever else the machine does falls on all alike. Fails if a message is lost."""
    size = turn.scaled(_SLICE)
    seconds = dict.fromkeys(TABLES[0].rows, 0.0)
    with ExitStack() as stack:
        stores = {row: stack.enter_context(_store(row)) for row in seconds}
        for number in range(_SLICES):
            for row in turn.in_turn(list(stores)):
                took = _slice(stores[row], size)
                if number >= _SLICES // 2:
                    seconds[row] += took
        for row, store in stores.items():
            stats = store.stats(TOPIC)
            assert (stats.done, stats.pending, stats.claimed) == (_SLICES * size, 0, 0), (
                f"{row}: lost messages: {stats}"
            )
    return {row: _SLICES // 2 * size / took for row, took in seconds.items()}


@contextmanager
def _store(row: str) -> Iterator[Store]:
    """A store on a server of its own, while somebody keeps a snapshot there."""
    with Postgres(*_SETTINGS) as server, open_store(server.url, StoreOptions(durability=Durability.NORMAL)) as store:
        store.declare(TOPIC)
        if row == _ALONE:
            yield store
            return
        place = server.url if row == _HERE else server.url.replace("/test", "/postgres")
        with psycopg.connect(place) as session:
            session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            session.execute("SELECT count(*) FROM pg_class")
            yield store
            session.rollback()


def _slice(store: Store, size: int) -> float:
    """Put, claim and settle ``size`` messages; returns the seconds that claiming and settling took."""
    messages = [Incoming(TOPIC, TOPIC, reading(one), time.time()) for one in range(_BATCH)]
    spent = 0.0
    for _ in range(size // _BATCH):
        store.put(messages)
        began = time.perf_counter()
        store.settle([(claim, Done()) for claim in store.claim(TOPIC, _BATCH, lease=60)])
        spent += time.perf_counter() - began
    return spent
