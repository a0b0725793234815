"""What is measured: the built-in handlers, and a user's own, each with its target and its peers."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

import psycopg

from bench import programs
from bench.measure import TESTS, Round
from bench.store import fill
from fmq.store.backends import open_store
from support.postgres import Postgres

_TABLE = (
    "CREATE TABLE message (message_key text PRIMARY KEY, topic text, payload bytea, received_at timestamptz);"
    "TRUNCATE message"
)
_SERVER = ("shared_buffers=256MB", "max_wal_size=4GB", "checkpoint_timeout=30min")


class Peer(NamedTuple):
    """A program of plain.py. ``least``: our rate divided by its rate has to be that; ``share`` of the messages are enough."""

    kind: str
    name: str
    least: float | None = None
    share: float = 1.0


class Place(NamedTuple):
    """A target: settings of fmq, and where a plain program finds it. Both are made anew for each run."""

    settings: Callable[[], Mapping[str, object]]
    where: Callable[[int], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A handler. ``steps``: how many at once, or in a batch, with the number of messages; ``calls``: batches at once."""

    name: str
    about: str
    steps: Mapping[int, int]
    peers: Sequence[Peer]
    target: Callable[[Round], AbstractContextManager[Place]]
    is_batch: bool = True
    calls: Sequence[int] = (1, 2)

    def step(self, at_once: int) -> str:
        """The name of a step."""
        return f"{self.name}, {'batch' if self.is_batch else 'at once'} {at_once:,}"

    def tuned(self, at_once: int, calls: int = 1) -> Mapping[str, object]:
        """The settings of fmq for a step."""
        return (
            {"FMQ_BATCH": at_once, "FMQ_CONCURRENCY": calls}
            if self.is_batch
            else {"FMQ_BATCH": max(100, 2 * at_once), "FMQ_CONCURRENCY": at_once}
        )


@contextmanager
def _http(_turn: Round) -> Iterator[Place]:
    with subprocess.Popen([sys.executable, Path(__file__).with_name("sink.py")], stdout=subprocess.PIPE) as sink:
        assert sink.stdout is not None
        url = f"http://127.0.0.1:{int(sink.stdout.readline())}/hook"
        try:
            yield Place(lambda: {"FMQ_HANDLER": "webhook", "FMQ_WEBHOOK_URL": url}, lambda _: url)
        finally:
            sink.kill()


@contextmanager
def _postgres(_turn: Round) -> Iterator[Place]:
    with Postgres(*_SERVER) as server, psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(_TABLE.partition(";")[0])

        def emptied(_: int = 0) -> str:
            connection.execute(_TABLE.partition(";")[2])
            return server.url

        yield Place(lambda: {"FMQ_HANDLER": "sql", "FMQ_SQL_URL": emptied()}, emptied)


@contextmanager
def _file(turn: Round) -> Iterator[Place]:
    def path() -> Path:
        return Path(mkdtemp(dir=turn.folder)) / "out.jsonl"

    yield Place(lambda: {"FMQ_HANDLER": "file", "FMQ_FILE_PATH": path()}, lambda _: str(path()))


@contextmanager
def _broker(turn: Round) -> Iterator[Place]:
    with programs.broker(Path(mkdtemp(dir=turn.folder))) as broker:
        settings = {"FMQ_HANDLER": "mqtt", "FMQ_MQTT_URL": broker.url, "FMQ_MQTT_TOPIC": "copy"}
        yield Place(lambda: settings, lambda _: str(broker.port))


@contextmanager
def _queue(turn: Round) -> Iterator[Place]:
    def url() -> str:
        return f"sqlite:///{Path(mkdtemp(dir=turn.folder)) / 'target.db'}"

    yield Place(lambda: {"FMQ_HANDLER": "queue", "FMQ_QUEUE_TARGET_URL": url()}, lambda _: url())


@contextmanager
def _command(_turn: Round) -> Iterator[Place]:
    yield Place(lambda: {"FMQ_HANDLER": "exec", "FMQ_EXEC_COMMAND": "/bin/true"}, lambda _: "/bin/true")


def _own(handler: str) -> Callable[[Round], AbstractContextManager[Place]]:
    @contextmanager
    def target(turn: Round) -> Iterator[Place]:
        def filled(count: int) -> str:
            url = f"sqlite:///{Path(mkdtemp(dir=turn.folder)) / 'loop.db'}"
            with open_store(url) as store:
                fill(store, count)
            return url

        yield Place(lambda: {"FMQ_HANDLER": f"bench.handlers:{handler}", "PYTHONPATH": TESTS}, filled)

    return target


_LOOP = (Peer("loop", "a loop of claim, call and settle"),)
WORKS = (
    Work(
        name="webhook",
        about="POSTs of 120 B to a server on this machine that costs little. fmq sends ten headers of its own, the others none.",
        steps={1: 4_000, 20: 16_000, 100: 16_000},
        peers=(Peer("aiohttp", "aiohttp", 0.9), Peer("httpx", "httpx", share=0.05)),
        target=_http,
        is_batch=False,
        calls=(1,),
    ),
    Work(
        name="sql",
        about="Rows into PostgreSQL on this machine, one transaction per batch. COPY fails on a row that exists; the others skip it.",
        steps={1: 2_000, 100: 20_000, 1_000: 40_000},
        peers=(Peer("executemany", "psycopg executemany", 1.0), Peer("copy", "psycopg COPY", 0.6)),
        target=_postgres,
    ),
    Work(
        name="file",
        about="Lines of JSON. The other one writes fewer fields; both sync each batch.",
        steps={1: 2_000, 100: 20_000, 1_000: 40_000},
        peers=(Peer("append", "write and fsync", 0.8),),
        target=_file,
    ),
    Work(
        name="mqtt",
        about="QoS 1 to Mosquitto on this machine. All have as many messages in flight as a batch has.",
        steps={1: 4_000, 100: 20_000, 1_000: 40_000},
        peers=(Peer("paho", "paho"), Peer("publisher", "bytes on a socket", 0.5)),
        target=_broker,
    ),
    Work(
        name="queue",
        about="Into another SQLite store, in one durable commit per batch.",
        steps={1: 2_000, 100: 20_000, 1_000: 40_000},
        peers=(Peer("put", "put alone"),),
        target=_queue,
    ),
    Work(
        name="exec",
        about="Runs `/bin/true` with the payload as its input.",
        steps={1: 500, 20: 1_000},
        peers=(Peer("spawn", "posix_spawn alone"),),
        target=_command,
        is_batch=False,
        calls=(1,),
    ),
    *(
        Work(
            name=f"a user's {kind} handler",
            about="It does nothing. The loop has neither threads, leases, timeouts, retries nor metrics.",
            steps={1: 2_000, 100: 40_000, 1_000: 80_000},
            peers=_LOOP,
            target=_own(handler),
            calls=(1,),
        )
        for kind, handler in (("plain", "nothing"), ("async", "nothing_async"), ("batch", "nothing_at_all"))
    ),
)
