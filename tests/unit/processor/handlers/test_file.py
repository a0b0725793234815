"""The handler ``file``: what is in the file, whatever happens to it."""

import fcntl
import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fmq.errors import SettingsError
from fmq.message import Message
from fmq.message_json import message_fields, message_json
from fmq.outcome import Unavailable
from fmq.service.environment import load
from fmq_processor.handlers.file.handler import FileHandler
from fmq_processor.handlers.file.settings import FileSettings
from support.clock import FakeClock
from support.wait import wait_for

DAY = 86_400


class Bench:
    """A handler, its clock and its metrics. ``path`` is below ``folder``."""

    def __init__(self, folder: Path, path: str = "messages.jsonl", **settings: Any) -> None:  # noqa: ANN401
        self.path = folder / path
        self.clock = FakeClock()
        self.registry = CollectorRegistry()
        chosen = FileSettings(file_path=str(self.path), **settings)
        self.handler = FileHandler(chosen, self.registry, clock=self.clock)

    def write(self, *numbers: int, topic: str = "t", size: int = 1) -> Sequence[Unavailable | None]:
        return self.handler.handle([message(number, topic=topic, size=size) for number in numbers])

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"fmq_file_{name}")


def message(number: int, *, topic: str = "t", size: int = 1) -> Message:
    return Message(number, "q/#", topic, b"x" * size, 1.0)


def ids(path: Path) -> list[int]:
    """The ids of the lines; each has to be whole."""
    text = path.read_bytes()
    assert text == b"" or text.endswith(b"\n")
    return [json.loads(line)["id"] for line in text.splitlines()]


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """While no file of this process can grow beyond ``size``: the kernel writes what fits, then refuses (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_each_message_is_a_line_of_json(tmp_path: Path) -> None:
    """In the order of the batch, after what is there, and counted."""
    bench = Bench(tmp_path)
    assert bench.write(1, 2) == [None, None]
    bench.write(3)
    assert ids(bench.path) == [1, 2, 3]
    assert json.loads(bench.path.read_text().splitlines()[0]) == message_fields(message(1))
    assert bench.metric("lines_total") == 3
    assert bench.metric("written_bytes_total") == bench.path.stat().st_size
    assert bench.path.stat().st_mode & 0o007 == 0


def test_done_comes_after_the_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced after the last write to it, and the folder after the file was made."""
    synced: list[tuple[str, int]] = []
    fsync = os.fsync

    def watched(file: int) -> None:
        synced.append((str(Path(f"/proc/self/fd/{file}").readlink()), os.fstat(file).st_size))
        fsync(file)

    monkeypatch.setattr(os, "fsync", watched)
    bench = Bench(tmp_path)
    bench.write(1)
    assert synced[0] == (str(bench.path), bench.path.stat().st_size)
    assert synced[1][0] == str(tmp_path)
    bench.write(2)
    assert synced[2:] == [(str(bench.path), bench.path.stat().st_size)]


def test_a_disk_that_is_full_in_the_middle_of_a_batch_leaves_nothing_of_it(tmp_path: Path) -> None:
    """The batch is refused as a whole, as a target that is down; when there is room it is written, once."""
    bench = Bench(tmp_path)
    bench.write(1)
    with files_limited_to(bench.path.stat().st_size + 100_000):
        first, second = bench.write(2, 3, size=80_000)
        assert ids(bench.path) == [1]
    assert isinstance(first, Unavailable)
    assert first is second
    assert first.reason.startswith("the file can't be written: [Errno 27] File too large")
    bench.write(2, 3, size=80_000)
    assert ids(bench.path) == [1, 2, 3]
    assert bench.metric("failures_total") == 1
    assert bench.metric("lines_total") == 3


@pytest.mark.parametrize("kept", [1, 5, 6, 7, 40, -1])
def test_an_unfinished_last_line_is_cut_off(tmp_path: Path, kept: int) -> None:
    """At set-up, wherever its writer died in it; the message was never done, and comes again."""
    bench = Bench(tmp_path)
    bench.write(1)
    whole = bench.path.read_bytes()
    bench.path.write_bytes(whole + message_json(message(2, size=70_000)).encode()[:kept])
    bench.handler.setup()
    assert bench.path.read_bytes() == whole
    assert bench.metric("unfinished_lines_total") == 1
    bench.write(2)
    assert ids(bench.path) == [1, 2]


def test_an_unfinished_line_of_another_writer_is_cut_off_at_the_next_append(tmp_path: Path) -> None:
    """Not only at set-up: another processor can die at any time. Zeros are what a power cut leaves."""
    bench = Bench(tmp_path)
    for number, rest in enumerate((message_json(message(9)).encode()[:30], b"\0" * 5_000)):
        with bench.path.open("ab") as file:
            file.write(rest)
        bench.write(number)
    assert ids(bench.path) == [0, 1]


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    """A last line of somebody else's only gets its end, and not before there is something to write."""
    bench = Bench(tmp_path)
    bench.path.write_text('{"name": "theirs"}')
    bench.handler.setup()
    assert bench.path.read_text() == '{"name": "theirs"}'
    bench.write(1)
    assert bench.path.read_text().splitlines() == ['{"name": "theirs"}', message_json(message(1))]
    assert bench.metric("unfinished_lines_total") == 0


def test_a_file_that_is_moved_away_is_left_alone(tmp_path: Path) -> None:
    """As logrotate does it, with ``create``, without, and with ``copytruncate``."""
    bench = Bench(tmp_path)
    bench.write(1)
    bench.path.rename(tmp_path / "moved")
    bench.write(2)
    bench.path.rename(tmp_path / "moved-too")
    bench.path.touch()
    bench.write(3)
    os.truncate(bench.path, 0)
    bench.write(4)
    assert [ids(tmp_path / name) for name in ("moved", "moved-too", "messages.jsonl")] == [[1], [2], [4]]


def test_a_file_moved_away_while_its_lock_is_waited_for_is_left_alone(tmp_path: Path) -> None:
    """The holder of the lock may rename the file: the line goes to the new one."""
    bench = Bench(tmp_path)
    bench.write(1)
    with bench.path.open() as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        writer = threading.Thread(target=bench.write, args=(2,))
        writer.start()
        inode = bench.path.stat().st_ino
        wait_for(lambda: _open_twice(inode), what="the writer at the lock")
        bench.path.rename(tmp_path / "moved")
    writer.join(10)
    assert (ids(tmp_path / "moved"), ids(bench.path)) == ([1], [2])


def _open_twice(inode: int) -> bool:
    opened = 0
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            opened += link.stat().st_ino == inode
    return opened == 2


def test_rotation_by_size(tmp_path: Path) -> None:
    """A file is never larger than the limit, unless by one batch alone; names tell the time in UTC, and never clash."""
    line = len(message_json(message(1))) + 1
    bench = Bench(tmp_path, file_rotate_bytes=2 * line)
    for number in range(1, 6):
        bench.write(number)
    bench.write(6, 7, 8)
    bench.clock.advance(1)
    bench.write(9)
    at = datetime.fromtimestamp(FakeClock().wall(), UTC).strftime("%Y%m%dT%H%M%SZ")
    later = datetime.fromtimestamp(FakeClock().wall() + 1, UTC).strftime("%Y%m%dT%H%M%SZ")
    assert {path.name: ids(path) for path in tmp_path.iterdir()} == {
        f"messages-{at}.jsonl": [1, 2],
        f"messages-{at}-1.jsonl": [3, 4],
        f"messages-{at}-2.jsonl": [5],
        f"messages-{later}.jsonl": [6, 7, 8],
        "messages.jsonl": [9],
    }
    assert bench.metric("rotations_total") == 4


def test_rotation_by_age(tmp_path: Path) -> None:
    """A file holds what was written in one period (here: a day, from midnight UTC), also across restarts."""
    bench = Bench(tmp_path, file_rotate_seconds=DAY)
    bench.clock.advance(DAY - bench.clock.wall() % DAY - 1)  # a second before midnight
    bench.write(1)
    bench.clock.advance(1)
    bench.handler.setup()  # a look at the file is no writing
    bench.write(2)
    bench.clock.jump(-60)  # a clock that was put right is no new day
    bench.write(3)
    bench.clock.jump(60)
    restarted = Bench(tmp_path, file_rotate_seconds=DAY)
    restarted.clock.advance(bench.clock.wall() - restarted.clock.wall() + DAY)
    restarted.write(4)
    assert sorted(ids(path) for path in tmp_path.iterdir()) == [[1], [2, 3], [4]]
    assert all("T000000Z" in path.name for path in tmp_path.iterdir() if path != bench.path)


def test_a_mended_or_refused_write_does_not_make_a_file_younger(tmp_path: Path) -> None:
    """The time of the last append decides, not that of a repair after it."""
    bench = Bench(tmp_path, file_rotate_seconds=DAY)
    bench.write(1)
    written = bench.path.stat().st_mtime
    with bench.path.open("ab") as file:
        file.write(message_json(message(2)).encode()[:20])
    os.utime(bench.path, (written, written))
    bench.handler.setup()
    assert bench.path.stat().st_mtime == written
    with files_limited_to(bench.path.stat().st_size + 10):
        bench.write(3)
    assert bench.path.stat().st_mtime == written


def test_one_file_that_can_not_be_written_holds_no_other_up(tmp_path: Path) -> None:
    """With a file for each topic, only the messages of the failing one come again. Folders are made as needed."""
    bench = Bench(tmp_path, "{queue}/{topic}.jsonl")
    blocked = tmp_path / "q%2F%23" / "b.jsonl"
    blocked.mkdir(parents=True)
    batch = [message(1, topic="a"), message(2, topic="b"), message(3, topic="../../a"), message(4, topic="a")]
    results = bench.handler.handle(batch)
    assert [result is None for result in results] == [True, False, True, True]
    assert "Is a directory" in str(results[1])
    blocked.rmdir()
    bench.write(2, topic="b")
    assert {path.name: ids(path) for path in blocked.parent.iterdir()} == {
        "a.jsonl": [1, 4],
        "b.jsonl": [2],
        "%2E.%2F..%2Fa.jsonl": [3],
    }


def test_a_volume_that_is_gone_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    """What is fixed of the path has to be there; the messages wait for it."""
    volume = tmp_path / "volume"
    volume.mkdir()
    bench = Bench(volume, "{queue}/m.jsonl")
    volume.rename(tmp_path / "away")
    assert isinstance(bench.write(1)[0], Unavailable)
    assert not volume.exists()
    (tmp_path / "away").rename(volume)
    assert bench.write(1) == [None]


WRITER = """
import sys
from pathlib import Path
from prometheus_client import CollectorRegistry
from fmq.message import Message
from fmq_processor.handlers.file.handler import FileHandler
from fmq_processor.handlers.file.settings import FileSettings

path, first = sys.argv[1], int(sys.argv[2])
handler = FileHandler(FileSettings(file_path=path, file_rotate_bytes=20_000), CollectorRegistry())
handler.setup()
for start in range(first, first + 200, 5):
    assert handler.handle([Message(n, "q", "t", b"x" * (n % 400), 1.0) for n in range(start, start + 5)]) == [None] * 5
"""


def test_processes_that_write_one_file_mix_no_lines_and_lose_none(tmp_path: Path) -> None:
    """Two of them, each rotating the file under the other."""
    path = tmp_path / "messages.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, str(first)]) for first in (0, 1_000)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    files = list(tmp_path.iterdir())
    assert len(files) > 2
    written = [number for file in files for number in ids(file)]
    assert sorted(written) == [number for first in (0, 1_000) for number in range(first, first + 200)]
    assert all(file.stat().st_size <= 20_000 for file in files)


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("", "it is empty"),
        ("missing/x.jsonl", "the folder {}/missing does not exist"),
        ("{topics}.jsonl", "unknown placeholder {{topics}}; known: {{queue}} and {{topic}}"),
        ("{queue.jsonl", "unmatched {{ or }}"),
        ("folder", "not a regular file"),
        ("missing/{queue}.jsonl", "the folder {}/missing does not exist"),
        ("/dev/null", "not a regular file"),
        pytest.param("x" * 300 + "/x.jsonl", "it can't be reached: File name too long", id="long"),
    ],
)
def test_a_wrong_path_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, wrong: str
) -> None:
    """With what would be right."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingsError) as told:
        load(FileSettings, {}, {"FMQ_FILE_PATH": path})
    assert wrong.format(tmp_path) in str(told.value)
    assert "expected a file in a folder that exists" in str(told.value)
