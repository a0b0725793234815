"""What a listener takes: memory at several backlogs, time to start, and what several of them bring."""

import time

from bench import programs
from bench.load import publish
from bench.measure import TOPIC, Figures, Goal, Round, Table, await_count, await_stored, reading
from fmq.store.backends import open_store
from support.processes import Processes

_BACKLOGS = (1_000, 50_000, 200_000)
_MOST = f"most memory, backlog {_BACKLOGS[-1]:,}"
_LEAST = f"most memory, backlog {_BACKLOGS[0]:,}"
_MIDDLE = f"most memory, backlog {_BACKLOGS[1]:,}"
_START = ("fmq listen, started to subscribed", "fmq process, started to its first claim")
_SHARED = (1, 2)
_SHARED_COUNT = 60_000
TABLES = (
    Table(
        "memory",
        "Memory of the listener",
        "The most that `fmq listen` had resident (VmHWM) while it took a backlog of 120 B messages: MQTT 5, inflight 10,000.",
        (_MOST, _MIDDLE, _LEAST),
        unit="MiB",
        less_is_better=True,
    ),
    Table("start", "Start", "From starting the process.", _START, unit="s", less_is_better=True),
    Table(
        "listeners",
        "Several listeners",
        "Members of one `$share` group, each with a store of its own, start together and take one backlog on this machine's processors. From the first "
        "message's arrival to the last commit.",
        tuple(f"listeners: {number}" for number in _SHARED),
    ),
)
GOALS = (
    Goal(f"listener memory, backlog {_BACKLOGS[-1]:,}", _MOST, most=60.0, unit=" MiB"),
    Goal(f"listener memory, backlog {_BACKLOGS[-1]:,} / {_BACKLOGS[1]:,}", _MOST, _MIDDLE, most=1.05),
)


def measure(turn: Round) -> Figures:
    """MiB, seconds, messages a second."""
    figures: Figures = {}
    for backlog, row in zip(_BACKLOGS, (_LEAST, _MIDDLE, _MOST), strict=True):
        figures |= _drain(turn, turn.scaled(backlog), row)
    for number in _SHARED:
        figures[f"listeners: {number}"] = _share(turn, number)
    return figures


def _drain(turn: Round, backlog: int, row: str) -> Figures:
    home = turn.folder / f"home-{backlog}"
    home.mkdir()
    with (
        programs.broker(turn.folder / str(backlog)) as broker,
        Processes(home) as processes,
        open_store(f"sqlite:///{home / 'mqtt_queue.db'}") as queue,
    ):
        programs.listen(processes, broker).terminate()
        publish(broker.port, map(reading, range(backlog)))
        began = time.perf_counter()
        listener = programs.listen(processes, broker)
        listening = time.perf_counter() - began
        await_stored(queue, backlog)
        peak = programs.peak_mib(listener.pid)
        listener.terminate()
        mark = home / "began"
        started = time.time()
        programs.process(processes, "nothing", BENCH_BEGAN=mark).wait_to_say("")
        while not (mark.exists() and mark.stat().st_size):
            time.sleep(0.005)
        processing = float(mark.read_text(encoding="ascii")) - started
    return {row: peak, _START[0]: listening, _START[1]: processing}


def _share(turn: Round, number: int) -> float:
    count = turn.scaled(_SHARED_COUNT)
    homes = [turn.folder / f"shared-{number}-{one}" for one in range(number)]
    with programs.broker(turn.folder / f"shared-{number}") as broker, Processes(turn.folder) as processes:
        stores = []
        for one, home in enumerate(homes):
            home.mkdir()
            stores.append(f"sqlite:///{home / 'mqtt_queue.db'}")
            programs.listen(
                processes, broker, topic=f"$share/bench/{TOPIC}", number=one, FMQ_QUEUE_URL=stores[-1]
            ).terminate()
        publish(broker.port, map(reading, range(count)))
        for one, store in enumerate(stores):
            programs.start_listening(processes, broker, topic=f"$share/bench/{TOPIC}", number=one, FMQ_QUEUE_URL=store)
        queues = [open_store(store) for store in stores]
        end = await_count(lambda: sum(queue.stats(TOPIC).stored for queue in queues), count)
        begins = [at for queue in queues if (at := queue.stats(TOPIC).oldest_pending_at)]
        for queue in queues:
            queue.close()
    return count / (end - min(begins))
