"""Much: a long backlog, many messages, large ones, many filters, and a reader that does not let go."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import apsw

from chaos.checker import check_file
from chaos.publisher import Publisher
from chaos.rig import SUBSCRIBED, Rig, end
from chaos.scenario import START_SECONDS, Result, Scenario, Setting, timed
from fmq.message import Incoming
from fmq.outcome import Done
from fmq.store.backends import open_store
from fmq.store.options import Durability, StoreOptions
from fmq.store.roles import Store
from support.counting import query, reading
from support.firehose import Firehose, Peer, publish_packet
from support.memory import MIB, peak_bytes, resident_bytes
from support.wait import wait_for

_BACKLOG = 10_000_000
_SHORT_BACKLOG = 10_000
_FLOOD = 3_000_000
_FLOOD_BEGIN = 100_000
_GROWTH = 1.10
_SLOWER = 5.0
_LARGE = 5_000
_LARGE_BYTES = 1024 * 1024
_FILTERS = 200
_WAL_LIMIT = 64 * 1024 * 1024
_WINDOW = 5_000
_DEADLINE = 1_800.0


def _backlog(setting: Setting) -> Result:
    """A claim, a settlement and a scrape cost at the end of ten million rows what they cost at the start."""
    result = Result("backlog", runs=1, within=START_SECONDS)
    wanted = setting.scaled(_BACKLOG, least=_SHORT_BACKLOG * 2)
    path = setting.folder / "backlog.db"
    with open_store(f"sqlite:///{path}", StoreOptions(Durability.NORMAL, check_integrity=False)) as queue:
        queue.declare("q")
        _put(queue, 0, _SHORT_BACKLOG)
        few = _costs(queue)
        _put(queue, _SHORT_BACKLOG, wanted)
        many = _costs(queue)
    for what, cost in many.items():
        result.notes.append(f"{what} {cost * 1000:.2f} ms ({few[what] * 1000:.2f} ms with {_SHORT_BACKLOG:,} rows)")
        if cost > max(few[what] * _SLOWER, 0.02):
            result.faults.append(f"{what} takes {cost:.4f} s with {wanted:,} rows and {few[what]:.4f} s with few")
    with Rig(setting.folder) as rig:
        rig.database = path
        with timed(result):
            processor = rig.processes.start(
                "process",
                "q",
                FMQ_QUEUE_URL=f"sqlite:///{path}",
                FMQ_HANDLER="chaos.handlers:nothing",
                FMQ_BATCH=100,
                PYTHONPATH=Path(__file__).resolve().parents[2],
            )
            processor.wait_to_say("Starting processor", 60)
            had = _done(path)
            wait_for(lambda: _done(path) > had, 60, what="the first messages of a long backlog")
        result.notes.append(f"processor {peak_bytes(processor.pid) / MIB:.0f} MiB at most")
        if processor.terminate() != 0:
            result.faults.append(f"the processor failed: {processor.text[-400:]}")
    result.scenario = f"backlog of {wanted:,} rows"
    result.messages = wanted
    return result


def _put(queue: Store, first: int, end: int) -> None:
    for start in range(first, end, 10_000):
        queue.put([Incoming("q", "q", b"%d." % n + b"x" * 90, 1.0) for n in range(start, min(end, start + 10_000))])


def _done(path: Path) -> int:
    return int(query(path, "SELECT sum(done) FROM fmq_queue")[0][0])


def _costs(queue: Store) -> dict[str, float]:
    """Seconds, the median of some."""
    claims, settlements, scrapes = [], [], []
    for _ in range(41):
        began = time.perf_counter()
        lent = queue.claim("q", 100, lease=60)
        claimed = time.perf_counter()
        queue.settle([(one, Done()) for one in lent])
        settled = time.perf_counter()
        queue.stats("q")
        scrapes.append(time.perf_counter() - settled)
        claims.append(claimed - began)
        settlements.append(settled - claimed)
    return {"claim of 100": median(claims), "settlement of 100": median(settlements), "scrape": median(scrapes)}


class _Flood:
    """Sends ``count`` messages as fast as they are acknowledged."""

    def __init__(self, count: int, size: int, *, window: int = _WINDOW) -> None:
        self.acknowledged = 0
        self._count = count
        self._window = window
        self._packets = [
            publish_packet("chaos/flood", (b"%d." % number).ljust(size, b"x"), number + 1) for number in range(window)
        ]

    def __call__(self, peer: Peer) -> None:
        while self.acknowledged < self._count:
            some = min(self._window, self._count - self.acknowledged)
            peer.link.sendall(b"".join(self._packets[:some]))
            if not peer.await_acknowledged(some, 120):
                return
            peer.acknowledged.clear()
            self.acknowledged += some


@contextmanager
def _flooded(rig: Rig, flood: _Flood) -> Iterator[Firehose]:
    with Firehose(flood) as broker:
        rig.url = broker.url
        yield broker
        assert not broker.errors, broker.errors


def _flood(setting: Setting) -> Result:
    """Three million messages through one listener and one processor, while retention deletes them: memory stays."""
    count = setting.scaled(_FLOOD, least=_FLOOD_BEGIN * 2)
    result = Result(f"{count:,} messages through one listener and one processor, with retention", runs=1)
    with Rig(setting.folder / "flood") as rig, _flooded(rig, flood := _Flood(count, 100)):
        listener = rig.listener(FMQ_RETENTION_SECONDS=0)
        processor = rig.processor(FMQ_HANDLER="chaos.handlers:nothing", FMQ_BATCH=1_000, FMQ_LEASE_SECONDS=60)
        began = time.monotonic()
        memory: dict[str, list[float]] = {"listener": [], "processor": []}
        for goal in (_FLOOD_BEGIN, count):
            wait_for(lambda goal=goal: flood.acknowledged >= goal, _DEADLINE, what=f"{goal:,} messages")  # type: ignore[misc]
            if goal == count:
                result.notes.append(_drain(rig))
            else:  # the processor, too, is to have been through as many
                wait_for(lambda goal=goal: rig.stored() - rig.unhandled() >= goal, _DEADLINE, what="the processor")  # type: ignore[misc]
            memory["listener"].append(resident_bytes(listener.pid) / MIB)
            memory["processor"].append(resident_bytes(processor.pid) / MIB)
        passed = time.monotonic() - began
        result.lost = max(0, count - rig.stored())
        metrics = processor.get("metrics")
        done = next(
            line for line in metrics.splitlines() if line.startswith("fmq_processed_total{") and '"done"' in line
        )
        result.lost += max(0, count - int(float(done.rpartition(" ")[2])))
        end(result, listener, processor)
        result.faults += check_file(rig.database)
    for who, (first, last) in memory.items():
        result.notes.append(f"{who} {first:.1f} MiB after {_FLOOD_BEGIN:,}, {last:.1f} MiB at the end")
        if last > first * _GROWTH:
            result.faults.append(f"the {who} grew from {first:.1f} to {last:.1f} MiB")
    result.notes.append(f"{count / passed:,.0f} messages/s")
    result.messages = count
    return result


def _drain(rig: Rig) -> str:
    """Wait until the processor has caught up: no recovery, since nothing was broken, but work."""
    waiting, began = rig.unhandled(), time.monotonic()
    rig.await_handled(_DEADLINE)
    return (
        f"{waiting:,} messages were still to be handled at the last PUBACK, which took {time.monotonic() - began:.1f} s"
    )


def _reader(setting: Setting) -> Result:
    """A reader holds a transaction open: the log grows, /metrics tells, and it shrinks when the reader has gone."""
    count = setting.scaled(400_000, least=100_000)
    result = Result("reader that holds a transaction open", runs=1, messages=count)
    with Rig(setting.folder / "reader") as rig, _flooded(rig, flood := _Flood(count, 200)):
        listener = rig.listener()
        wait_for(lambda: flood.acknowledged > 0, 60, what="the first messages")
        reader = apsw.Connection(str(rig.database), flags=apsw.SQLITE_OPEN_READONLY)
        reader.execute("BEGIN").execute("SELECT count(*) FROM fmq_queue").fetchall()
        wait_for(lambda: flood.acknowledged >= count, _DEADLINE, what="all messages")
        wal = rig.database.with_name(rig.database.name + "-wal")
        grown = wal.stat().st_size
        told = next(line for line in listener.get("metrics").splitlines() if line.startswith("fmq_wal_bytes "))
        if float(told.rpartition(" ")[2]) < grown * 0.9:
            result.faults.append(f"/metrics tells of {told}, and the log has {grown} bytes")
        reader.close()
        with timed(result):
            wait_for(lambda: wal.stat().st_size <= _WAL_LIMIT, 60, what="the log to shrink")
        result.notes.append(f"log {grown / MIB:.0f} MiB with the reader, {wal.stat().st_size / MIB:.0f} MiB after it")
        result.lost = max(0, count - rig.stored())
        end(result, listener)
        result.faults += check_file(rig.database)
    return result


def _filters(setting: Setting) -> Result:
    """Two hundred filters of one listener: each message is in its own queue."""
    count = setting.scaled(40_000, least=4_000)
    result = Result(f"{_FILTERS} topic filters", runs=1, messages=count)
    names = [f"chaos/{number}" for number in range(_FILTERS)]
    with Rig(setting.folder / "filters") as rig:
        listener = rig.listener(None, *names)
        listener.wait_to_say(SUBSCRIBED, 60)
        with Publisher(rig.broker.port, names, count=count) as publisher:
            publisher.finish(_DEADLINE)
            with timed(result):
                wait_for(lambda: rig.stored() >= count, _DEADLINE, what="all messages")
        end(result, listener)
        with reading(rig.database) as ask:
            for name, table in ask("SELECT name, table_name FROM fmq_queue"):
                if (others := ask(f'SELECT count(*) FROM "{table}" WHERE topic <> ?', name)[0][0]) != 0:
                    result.faults.append(f"{others} messages of other topics in {name}")
        rig.judge(result, count, handled=False)
        result.messages = count
    return result


def _large(setting: Setting) -> Result:
    """Five thousand messages of 1 MiB, taken and handled: memory stays within its limits."""
    count = setting.scaled(_LARGE, least=200)
    result = Result(f"{count:,} messages of 1 MiB", runs=1, messages=count)
    limit = 64 * 1024 * 1024
    with Rig(setting.folder / "large") as rig, _flooded(rig, flood := _Flood(count, _LARGE_BYTES, window=100)):
        # Without memory mapping, whose pages would count although the system can take them back at any time.
        listener = rig.listener(FMQ_INFLIGHT_BYTES=limit, FMQ_RETENTION_SECONDS=0, FMQ_MMAP_BYTES=0)
        processor = rig.processor(
            FMQ_HANDLER="chaos.handlers:nothing",
            FMQ_BATCH=1_000,
            FMQ_BATCH_BYTES=limit,
            FMQ_LEASE_SECONDS=60,
            FMQ_MMAP_BYTES=0,
        )
        wait_for(lambda: flood.acknowledged >= count, _DEADLINE, what="all messages")
        result.notes.append(_drain(rig))
        result.lost = max(0, count - rig.stored())
        for who, process in (("listener", listener), ("processor", processor)):
            most = peak_bytes(process.pid) / MIB
            result.notes.append(f"{who} {most:.0f} MiB at most")
            if most > 60 + 4 * limit / MIB:
                result.faults.append(f"the {who} took {most:.0f} MiB")
            if (code := process.terminate()) != 0:
                result.faults.append(f"exit code {code}: {process.text[-400:]}")
        result.faults += check_file(rig.database)
    return result


SCENARIOS: Sequence[Scenario] = (_backlog, _flood, _reader, _filters, _large)
