"""What wakes a processor when messages become available."""

import ctypes
import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fmq.message import Incoming
from fmq.outcome import Dead, Done, GiveBack, RetryLater, Settlement
from fmq.store.backends import open_store
from fmq.store.roles import Store
from fmq.store.sqlite.file.wakeup import Alarm, ring
from fmq_processor.runners.protocol import Bell

_ONE = [Incoming("q", "q", b"1", 1.0, 1, False, None)]


def _is_heard(alarm: int | None) -> bool:
    assert alarm is not None
    return bool(select.select([alarm], [], [], 0)[0])


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store behind a link from another folder: both names lead to the same bell."""
    (tmp_path / "data").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "data" / "queue.db")
    with open_store(f"sqlite:///{tmp_path / 'data' / 'queue.db'}") as store:
        store.declare("q")
    return f"sqlite:///{tmp_path / 'link.db'}"


@pytest.mark.parametrize(
    ("change", "wakes"),
    [
        (lambda store: store.put(_ONE), True),
        (lambda store: store.settle([(store.claim("q", 1, lease=9)[0], GiveBack())]), True),
        (lambda store: store.settle([(store.claim("q", 1, lease=9)[0], Done())]), False),
        (lambda store: store.claim("q", 1, lease=9), False),
    ],
    ids=["put", "give back", "done", "claim"],
)
def test_what_makes_messages_available_wakes_others(url: str, change: Callable[[Store], object], wakes: bool) -> None:  # noqa: FBT001 - a parameter
    """A commit after which others may claim something is heard until they look; a claim and its end are not."""
    with open_store(url) as mine, open_store(url) as other:
        other.put(_ONE)
        alarm = mine.alarm()
        mine.wait(0)
        assert not _is_heard(alarm)
        change(other)
        assert _is_heard(alarm) == wakes
        assert mine.wait(0)
        assert not _is_heard(alarm)


@pytest.mark.parametrize("settlement", [Done(), Dead("bad"), RetryLater(5.0)], ids=lambda one: type(one).__name__)
def test_the_next_message_in_order_wakes_others(url: str, settlement: Settlement) -> None:
    """In an ordered queue, a settlement makes the next message of its topic available, or the same one again."""
    with open_store(url) as mine, open_store(url) as other:
        other.put(_ONE * 2)
        alarm = mine.alarm()
        claims = other.claim("q", 1, lease=9, ordered=True)
        mine.wait(0)
        other.settle([(claims[0], settlement)])
        assert _is_heard(alarm)


def test_without_inotify_nothing_is_heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A system that lacks it, or has none left, is no error: the store is looked at from time to time."""

    class Used:
        def inotify_init1(self, _flags: int) -> int:
            return -1

    for library in (Used(), object()):
        monkeypatch.setattr(ctypes, "CDLL", lambda *_a, found=library, **_k: found)
        alarm = Alarm(str(tmp_path))
        assert alarm.fileno is None
        alarm.clear()
        alarm.close()
    ring(str(tmp_path / "missing"))


def test_an_alarm_does_not_outlive_its_store(url: str) -> None:
    """A closed store leaves no file open."""
    with open_store(url) as store:
        alarm = store.alarm()
        assert alarm is not None
        assert store.alarm() == alarm
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(alarm)


def test_a_bell_hears_the_alarm_and_rings(tmp_path: Path) -> None:
    """Either of them ends a wait at once; one that goes on and on does so 500 times per second at most."""
    alarm = Alarm(str(tmp_path))
    bell = Bell(alarm.fileno)
    began = time.perf_counter()
    ring(str(tmp_path))
    bell.wait(60)
    count = 0
    while time.perf_counter() - began < 0.05:
        bell.wait(60)  # never cleared
        count += 1
    assert 1 <= count <= 26
    alarm.clear()
    threading.Timer(0.01, bell.ring).start()
    bell.wait(60)
    assert time.perf_counter() - began < 30
    alarm.close()
