"""The handler ``queue``: what arrives in the target store, and targets that are refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import apsw
import pytest
from prometheus_client import CollectorRegistry

from fmq.errors import SettingsError, StoreRefused
from fmq.message import Message, Properties
from fmq.outcome import Unavailable
from fmq.store.backends import open_store
from fmq.store.roles import Store
from fmq_processor.handler_loading import choose
from fmq_processor.handlers.queue.handler import QueueHandler
from fmq_processor.handlers.queue.settings import QueueSettings
from support.counting import counted, counters
from support.disk import installed

PROPERTIES = Properties(content_type="a/b", correlation_data=b"\0\xff", user_properties=(("k", "v"), ("k", "w")))


class Bench:
    """A handler whose target is ``centre.db``; ``target`` is another connection to it."""

    def __init__(self, folder: Path, name: str = "{queue}") -> None:
        self.path = folder / "centre.db"
        self.url = f"sqlite:///{self.path}"
        self.registry = CollectorRegistry()
        settings = QueueSettings(queue_target_url=self.url, queue_target_name=name, queue_target_busy_seconds=0.05)
        self.handler = QueueHandler(settings, self.registry)
        self.handler.know_store(UUID(int=7))

    @contextmanager
    def target(self) -> Iterator[Store]:
        with open_store(self.url, create=False) as queue:
            yield queue

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"fmq_queue_{name}_total")


def message(number: int, queue: str = "s/#") -> Message:
    return Message(number, queue, f"s/{number}", b"%d\xff" % number, 1.5 + number, 2, True, 3, PROPERTIES)


def test_a_batch_that_is_sent_again(tmp_path: Path) -> None:
    """It is stored once, also together with messages that are new; two stores' messages are never taken for one."""
    bench = Bench(tmp_path)
    bench.handler.setup()
    bench.handler.handle([message(7), message(8)])
    bench.handler.handle([message(7), message(9)])
    bench.handler.know_store(UUID(int=8))
    bench.handler.handle([message(7)])
    bench.handler.teardown()
    with bench.target() as target:
        assert [claim.message.topic for claim in target.claim("s/#", 10, lease=60)] == ["s/7", "s/8", "s/9", "s/7"]


def test_everything_but_the_id_and_the_attempts_is_kept(tmp_path: Path) -> None:
    """Topic, payload, time of receipt, QoS, retain and properties; the attempts are counted anew."""
    bench = Bench(tmp_path)
    bench.handler.setup()
    bench.handler.handle([message(7), message(9)])
    bench.handler.teardown()
    with bench.target() as target:
        kept = [claim.message for claim in target.claim("s/#", 10, lease=60)]
    assert kept == [
        Message(1, "s/#", "s/7", b"7\xff", 8.5, 2, True, 0, PROPERTIES),
        Message(2, "s/#", "s/9", b"9\xff", 10.5, 2, True, 0, PROPERTIES),
    ]
    assert bench.metric("messages") == 2


def test_queues_are_made_as_the_template_says(tmp_path: Path) -> None:
    """One for each queue of the messages, or one for all."""
    (tmp_path / "one").mkdir()
    each, one = Bench(tmp_path, "edge-7/{queue}"), Bench(tmp_path / "one", "all")
    for bench in (each, one):
        bench.handler.handle([message(1, "a"), message(2, "b"), message(3, "a")])
        bench.handler.teardown()
    assert counted(each.path) == {"edge-7/a": (2, 0, 0, 0), "edge-7/b": (1, 0, 0, 0)}
    assert counted(one.path) == {"all": (3, 0, 0, 0)}
    assert counters(each.path) == counted(each.path)


def test_done_comes_after_the_sync(tmp_path: Path) -> None:
    """The write-ahead log of the target is synced after the last write to it, so that a power cut undoes nothing."""
    recorder = Recorder()
    with installed(recorder):
        bench = Bench(tmp_path)
        for number in range(3):
            recorder.seen.clear()
            bench.handler.handle([message(number)])
            assert recorder.seen[-2:] == ["write", "sync"]
        bench.handler.teardown()


class Recorder:
    """Writes and syncs of write-ahead logs."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def opened(self, path: Path) -> None: ...

    def read(self, path: Path) -> None: ...

    def truncate(self, path: Path, size: int) -> None: ...

    def delete(self, path: Path) -> None: ...

    def write(self, path: Path, data: bytes, offset: int) -> None:  # noqa: ARG002 - the disk's interface
        self._note(path, "write")

    def sync(self, path: Path) -> None:
        self._note(path, "sync")

    def _note(self, path: Path, what: str) -> None:
        if path.name.endswith("-wal"):
            self.seen.append(what)


def test_a_batch_is_in_the_target_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    """While another writer does not let go the target is down; then the batch goes in, once."""
    bench = Bench(tmp_path)
    bench.handler.handle([message(1)])
    blocker = apsw.Connection(str(bench.path))
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match=r"the target store: .*locked"):
        bench.handler.handle([message(2), message(3, "new")])
    blocker.execute("ROLLBACK")
    blocker.close()
    assert counted(bench.path) == {"s/#": (1, 0, 0, 0)}
    bench.handler.handle([message(2), message(3, "new")])
    bench.handler.teardown()
    assert counted(bench.path) == {"s/#": (2, 0, 0, 0), "new": (1, 0, 0, 0)}
    assert bench.metric("failures") == 1


def test_a_target_that_is_locked_at_the_start_is_opened_later(tmp_path: Path) -> None:
    """That is no reason not to start."""
    bench = Bench(tmp_path)
    blocker = apsw.Connection(str(bench.path))
    blocker.execute("BEGIN EXCLUSIVE")
    bench.handler.setup()
    with pytest.raises(Unavailable):
        bench.handler.handle([message(1)])
    blocker.execute("ROLLBACK")
    blocker.close()
    bench.handler.handle([message(1)])
    bench.handler.teardown()
    assert counted(bench.path) == {"s/#": (1, 0, 0, 0)}


def test_a_target_that_is_no_store_is_refused_at_the_start(tmp_path: Path) -> None:
    """And it is down, if it becomes one later: the messages wait for the operator."""
    bench = Bench(tmp_path)
    bench.path.write_text("no database at all, but long enough to be read as one" * 100)
    with pytest.raises(StoreRefused):
        bench.handler.setup()
    with pytest.raises(Unavailable, match="not an SQLite database"):
        bench.handler.handle([message(1)])


@pytest.mark.parametrize(
    ("target", "name", "topics", "wrong"),
    [
        ("", "{queue}", "a", "it is empty"),
        ("nats://host", "{queue}", "a", "Invalid queue URL 'nats://host'"),
        ("sqlite:///x/../own.db", "{queue}", "", "every queue would be moved to a queue that it serves itself"),
        ("sqlite:///own.db", "x/{queue}", "", "every queue would be"),
        ("sqlite:///link.db", "{queue}", "a,b", "its queue 'a' would be moved to a queue that it serves itself"),
        ("sqlite:///own.db", "b", "a,$share/g/b", "its queue 'a' would be"),
        ("sqlite:///other.db", "{topic}", "a", "unknown placeholder {topic}; known: {queue}"),
    ],
)
def test_a_hand_over_that_comes_back_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, name: str, topics: str, wrong: str
) -> None:
    """However the URL of the processor's own store is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to(tmp_path / "own.db")
    with pytest.raises(SettingsError) as told:
        _choose(target, name, topics)
    assert wrong in str(told.value)
    assert "expected" in str(told.value)


@pytest.mark.parametrize(
    ("target", "name", "topics"),
    [("sqlite:///other.db", "{queue}", ""), ("sqlite:///own.db", "all", "a,b"), ("sqlite:///own.db", "x/{queue}", "a")],
)
def test_other_targets_are_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, name: str, topics: str
) -> None:
    """Another store, or another queue that this processor does not serve."""
    monkeypatch.chdir(tmp_path)
    _choose(target, name, topics)


def _choose(target: str, name: str, topics: str) -> None:
    choose(
        {"handler": "queue"},
        {
            "FMQ_QUEUE_URL": "sqlite:///own.db",
            "FMQ_QUEUE_TARGET_URL": target,
            "FMQ_QUEUE_TARGET_NAME": name,
            "FMQ_TOPICS": topics,
        },
    )


def test_a_wait_that_outlasts_the_call_is_refused() -> None:
    """It would hand over messages that come again meanwhile; without a limit on calls any wait is fine."""
    given = {"FMQ_QUEUE_TARGET_URL": "sqlite:///other.db", "FMQ_QUEUE_TARGET_BUSY_SECONDS": "5"}
    for limit in ("0", "6"):
        choose({"handler": "queue", "handler_timeout": limit}, given)[1].make(CollectorRegistry())
    with pytest.raises(SettingsError, match=r"BUSY_SECONDS=5s: expected less than FMQ_HANDLER_TIMEOUT \(5s\)"):
        choose({"handler": "queue", "handler_timeout": "5"}, given)[1].make(CollectorRegistry())
