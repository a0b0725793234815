"""What an open page costs the listener, and what a large store costs the page."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import programs
from bench.load import publish
from bench.measure import TOPIC, Figures, Goal, Round, Table, await_stored, reading
from fmq.clock import SYSTEM_CLOCK
from fmq.message import Incoming
from fmq.store.backends import open_store
from fmq.store.options import Durability, StoreOptions
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq_web.answers.base import Answer
from fmq_web.views.dead import groups
from fmq_web.views.messages import message_page
from fmq_web.views.overview import overview
from support.broker import Broker
from support.clock import FakeClock
from support.processes import FmqProcess, Processes
from support.wait import wait_for

_QUEUES, _MINUTES = 100, 61
_LARGE, _LARGE_QUICK, _SMALL = 5_000_000, 200_000, 1_000
_DEAD_SHARE = 10
_BATCH = 10_000
_WARM, _CALLS = 3, 60
_BACKLOG, _SLICES = 60_000, 3
_STORE = StoreOptions(durability=Durability.NORMAL, check_integrity=False)
_NAMES = [f"plant/{number}/+/temperature" for number in range(_QUEUES)]

_DRAIN = ("drain with an open page", "drain without")
_VIEWS = ("overview", "messages", "dead letters", "groups")
_TEXTS = ("at 5,000,000", "at 1,000")
TABLES = (
    Table(
        "web-drain",
        "Listener: an open page",
        f"The backlog of a persistent session, as above, into stores with {_QUEUES} queues, {_SLICES} times in turn. A page "
        "follows the live stream of `fmq web` all the time, or it is not running.",
        _DRAIN,
    ),
    *(
        Table(
            f"web-{view.replace(' ', '-')}",
            f"Page: {view}",
            f"95th percentile of {_CALLS} calls in turn, with JSON and without HTTP, of stores with {_QUEUES} queues and this "
            f"number of messages; half of them are in one queue, which is shown, and each {_DEAD_SHARE}th is a dead letter.",
            tuple(f"{view} {text}" for text in _TEXTS),
            unit="ms",
            less_is_better=True,
        )
        for view in _VIEWS
    ),
)
GOALS = (
    Goal("drain with an open page / without", *_DRAIN, least=0.97),
    *(
        Goal(f"{view} at 5,000,000 / at 1,000", f"{view} {_TEXTS[0]}", f"{view} {_TEXTS[1]}", most=1.5)
        for view in _VIEWS
        if view != "groups"
    ),
    # It looks at up to 10,000 dead letters, and the small store has fewer.
    Goal("a step through groups", "groups at 5,000,000", most=250.0, unit="ms"),
)


def measure(turn: Round) -> Figures:
    """Messages a second; milliseconds."""
    return _drain(turn) | _views(turn)


def _drain(turn: Round) -> Figures:
    count = turn.scaled(_BACKLOG)
    seconds = [0.0, 0.0]
    for number in range(_SLICES):
        with programs.broker(turn.folder / f"drain-{number}") as broker:
            runs = [(which, _session(turn, broker, f"{number}-{which}", which)) for which in range(len(_DRAIN))]
            publish(broker.port, (reading(one) for one in range(count)))
            for which, home in turn.in_turn(runs) if number % 2 == 0 else reversed(turn.in_turn(runs)):
                seconds[which] += _drained(broker, home, which, count)
    return {name: _SLICES * count / spent for name, spent in zip(_DRAIN, seconds, strict=True)}


def _session(turn: Round, broker: Broker, name: str, number: int) -> Path:
    """A session, and a store that has other queues."""
    home = turn.folder / f"home-{name}"
    home.mkdir()
    _fill(home / "mqtt_queue.db", _SMALL)
    with Processes(home) as processes:
        programs.listen(processes, broker, number=number).terminate()
    return home


def _drained(broker: Broker, home: Path, which: int, count: int) -> float:
    """Seconds from the first arrival to the last commit."""
    with ExitStack() as stack:
        processes = stack.enter_context(Processes(home))
        store = stack.enter_context(open_store(f"sqlite:///{home / 'mqtt_queue.db'}", _STORE))
        if which == 0:
            web = processes.start("web", FMQ_WEB_PORT=0)
            stack.enter_context(_open_page(web))
        listener = programs.listen(processes, broker, number=which)
        end = await_stored(store, count)
        begin = store.stats(TOPIC).oldest_pending_at
        listener.terminate()
    assert begin is not None
    return end - begin


@contextmanager
def _open_page(web: FmqProcess) -> Iterator[None]:
    """Follow the live stream, as a page does."""
    [line] = web.wait_to_say("Serving the web page")
    connection = http.client.HTTPConnection(line["url"].removeprefix("http://"), timeout=30)
    connection.request("GET", "/api/v1/stream")
    answer = connection.getresponse()
    assert answer.status == http.client.OK
    got: list[int] = []

    def follow() -> None:
        while piece := answer.read1():
            got.append(len(piece))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    wait_for(lambda: sum(got) > _SMALL, what="the first state")
    try:
        yield
    finally:
        web.terminate()
        thread.join()
        connection.close()


def _views(turn: Round) -> Figures:
    large, small = turn.kept / "large.db", turn.folder / "small.db"
    if not large.exists():
        _fill(large, _LARGE_QUICK if turn.quick else _LARGE)
    _fill(small, _SMALL)
    times: dict[str, list[float]] = {f"{view} {text}": [] for view in _VIEWS for text in _TEXTS}
    with open_store(f"sqlite:///{large}", _STORE) as many, open_store(f"sqlite:///{small}", _STORE) as few:
        for number in range(_WARM + _CALLS):
            for text, store in turn.in_turn(list(zip(_TEXTS, (many, few), strict=True))):
                for view in _VIEWS:
                    spent = _timed(_view(view, store))
                    if number >= _WARM:
                        times[f"{view} {text}"].append(spent)
    return {name: 1_000 * sorted(some)[_CALLS * 95 // 100] for name, some in times.items()}


def _view(view: str, store: Store) -> Callable[[], Answer]:
    name = _NAMES[-1]
    calls: dict[str, Callable[[], Answer]] = {
        "overview": lambda: overview(store, SYSTEM_CLOCK),
        "messages": lambda: message_page(store, name, Selection(State.ANY)),
        "dead letters": lambda: message_page(store, name, Selection(State.DEAD)),
        "groups": lambda: groups(store, SYSTEM_CLOCK, name),
    }
    return calls[view]


def _timed(call: Callable[[], Answer]) -> float:
    began = time.perf_counter()
    call().model_dump_json()
    return time.perf_counter() - began


def _fill(path: Path, count: int) -> None:
    """A store with ``count`` messages in many queues, which came in the last hour, and with its history."""
    clock = FakeClock(time.time() - 60 * _MINUTES)
    with open_store(f"sqlite:///{path}", _STORE, clock=clock) as store:
        for name in _NAMES:
            store.declare(name)
        stored = 0
        for minute in range(1, _MINUTES + 1):
            until = count * minute // _MINUTES
            while stored < until:
                some = range(stored, min(stored + _BATCH, until))
                store.put([_incoming(number, clock.wall()) for number in some])
                stored = some.stop
            clock.advance(60)
            store.note_minute()


def _incoming(number: int, at: float) -> Incoming:
    turn, half = divmod(number, 2)
    queue = turn % _QUEUES if half else _QUEUES - 1
    reason = f"ValueError: no field {turn % 7} in {number}" if turn % _DEAD_SHARE == 0 else None
    return Incoming(_NAMES[queue], f"plant/{queue}/{turn % 50}/temperature", reading(number), at, reason=reason)
