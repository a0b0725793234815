"""Backend exceptions leave the seam as fmq errors."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from fmq.errors import QueueError, StoreDamaged, StoreRefused, StoreUnavailable
from fmq.message import Incoming
from fmq.store.backends import open_store
from fmq.store.options import Retention
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq.store.sqlite.translating import translated
from support.counting import execute

_PASSING = {
    *("AbortError", "BusyError", "CantOpenError", "EmptyError", "FormatError", "FullError", "IOError"),
    *(
        "InternalError",
        "InterruptError",
        "LockedError",
        "NoLFSError",
        "NoMemError",
        "NotFoundError",
        "PermissionsError",
    ),
    *("ProtocolError", "ReadOnlyError", "SchemaChangeError"),
}
_DAMAGED = {"CorruptError", "NotADBError"}


_CLASSES = [
    one
    for one in vars(apsw).values()
    if isinstance(one, type) and issubclass(one, apsw.Error) and one is not apsw.Error
]


@pytest.mark.parametrize("kind", _CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_of_apsw(kind: type[apsw.Error]) -> None:
    """None gets through; what may pass is unavailable, damage is damage, and tables that are not ours are refused."""
    with pytest.raises(QueueError, match="why") as told, translated(Path("/q.db")):
        raise kind("why")
    assert isinstance(told.value.__cause__, kind)
    name = kind.__name__
    if name in _PASSING:
        assert isinstance(told.value, StoreUnavailable)
    assert isinstance(told.value, StoreDamaged) == (name in _DAMAGED)
    assert isinstance(told.value, StoreRefused) == (name in {*_DAMAGED, "SQLError"})


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError(), PermissionError(13, "denied")])
def test_the_machines_errors(error: Exception) -> None:
    """They may pass."""
    with pytest.raises(StoreUnavailable, match=re.escape(str(error) or "MemoryError")), translated(Path("/q.db")):
        raise error


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q.db"


_CALLS: dict[str, Callable[[Store], object]] = {
    "put": lambda queue: queue.put([Incoming("q", "t", b"x", 1.0)]),
    "claim": lambda queue: queue.claim("q", 1, lease=1),
    "ordered claim": lambda queue: queue.claim("q", 1, lease=1, ordered=True),
    "stats": lambda queue: queue.stats("q"),
    "find": lambda queue: queue.find("q", Selection(State.PENDING)),
    "messages": lambda queue: queue.messages("q", [1]),
    "dead letters": lambda queue: queue.dead_letters("q"),
    "requeue": lambda queue: queue.requeue_dead("q"),
    "purge": lambda queue: queue.purge_dead("q"),
    "maintain": lambda queue: queue.maintain(Retention(0.0)),
}


@pytest.mark.parametrize("name", _CALLS)
def test_a_table_that_somebody_has_dropped(path: Path, name: str) -> None:
    """Each call tells it, and what to do."""
    with open_store(f"sqlite:///{path}") as queue:
        queue.declare("q")
        execute(path, "DROP TABLE msg_q")
        with pytest.raises(StoreRefused, match=r"not as fmq made them \(no such table.*set-aside"):
            _CALLS[name](queue)


def test_a_name_that_is_no_text(path: Path) -> None:
    """In the registry nothing can be guessed."""
    with open_store(f"sqlite:///{path}") as queue:
        queue.declare("q")
        execute(path, "UPDATE fmq_queue SET name = CAST(x'ff' AS TEXT)")
        with pytest.raises(StoreRefused, match="not UTF-8"):
            queue.names()


def test_a_disk_that_does_not_answer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes and free space come from the operating system."""
    with open_store(f"sqlite:///{path}") as queue:

        def fail(_: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "statvfs", fail)
        with pytest.raises(StoreUnavailable, match="Input/output error"):
            queue.store_stats()


@pytest.mark.parametrize(
    "message",
    [Incoming("q", "\ud800", b"x", 1.0), Incoming("q", "t", b"x", float("nan")), Incoming("q", "t", b"x", -1.0)],
)
def test_a_message_that_no_store_takes(path: Path, message: Incoming) -> None:
    """Another try would not help, and the rest of its batch is not stored either."""
    with open_store(f"sqlite:///{path}") as queue:
        queue.declare("q")
        with pytest.raises(QueueError, match="does not take this") as told:
            queue.put([Incoming("q", "t", b"x", 1.0), message])
        assert not isinstance(told.value, StoreUnavailable)
        assert queue.stats("q").stored == 0


def test_a_number_that_is_too_large(path: Path) -> None:
    """An id beyond SQLite's is no error of Python's."""
    with open_store(f"sqlite:///{path}") as queue:
        queue.declare("q")
        assert queue.messages("q", [10**30]) == []
        with pytest.raises(QueueError, match="does not take this"):
            queue.dead_letters("q", after_id=10**30)
