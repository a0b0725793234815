"""The handler ``file`` in real processes: outages, kills, files moved away by others."""

import json
import random
import resource
import threading
from functools import partial
from pathlib import Path

from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.handing import (
    QUEUE,
    duplicates,
    how_many,
    kills,
    put_numbers,
    start_processor,
    stop,
    wait_for_outage,
    wait_until_done,
)
from support.processes import FmqProcess, Processes
from support.wait import wait_for

_MESSAGES = how_many(2_000)
_KILLS = kills(_MESSAGES)
_GIB = 1024**3


def numbers(path: Path, *, after: int = 0) -> list[int]:
    """The payloads of a file's lines, each of which has to be whole."""
    with path.open("rb") as file:
        file.seek(after)
        text = file.read()
    assert not text or text.endswith(b"\n")
    return [int(json.loads(line)["payload"]) for line in text.splitlines()]


def limit_files(process: FmqProcess, size: int) -> None:
    """Let no file of ``process`` grow beyond ``size``; what is larger stays."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, hard))


def test_a_disk_that_is_full_for_a_while(tmp_path: Path, fmq: Processes, queue: Store, database: Path) -> None:
    """Nothing is lost, nothing is written twice, no line is torn, and all continues automatically when there is room again.

    A limit on the size of files stands for the disk: the kernel writes what fits, up to the middle of a line, and
    refuses the rest. The file begins with a hole, so that nothing else of the processor's comes near the limit.
    """
    path = tmp_path / "lines.jsonl"
    with path.open("wb") as file:
        file.seek(_GIB - 1)
        file.write(b"\n")
    processor = start_processor(fmq, "file", FMQ_FILE_PATH=path)
    processor.wait_to_say("Starting processor")
    limit_files(processor, _GIB + _MESSAGES * 40)
    put_numbers(queue, range(_MESSAGES))
    wait_for_outage(processor, 1)
    limit_files(processor, _GIB + _MESSAGES * 80)
    wait_for_outage(processor, 2)
    assert 0 < len(numbers(path, after=_GIB)) < _MESSAGES
    limit_files(processor, resource.RLIM_INFINITY)
    wait_until_done(queue, _MESSAGES)
    assert processor.terminate() == 0
    assert duplicates(numbers(path, after=_GIB), database, _MESSAGES) == 0


def test_a_volume_that_is_gone_for_a_while(tmp_path: Path, fmq: Processes, queue: Store, database: Path) -> None:
    """The messages wait; no folder takes its place."""
    volume = tmp_path / "volume"
    volume.mkdir()
    processor = start_processor(fmq, "file", FMQ_FILE_PATH=volume / "{queue}.jsonl")
    put_numbers(queue, range(_MESSAGES // 2))
    wait_until_done(queue, 100, at_least=True)
    volume.rename(tmp_path / "away")
    put_numbers(queue, range(_MESSAGES // 2, _MESSAGES))
    wait_for_outage(processor, 1)
    assert not volume.exists()
    (tmp_path / "away").rename(volume)
    wait_until_done(queue, _MESSAGES)
    assert processor.terminate() == 0
    assert duplicates(numbers(volume / f"{QUEUE}.jsonl"), database, _MESSAGES) == 0


def test_processors_that_are_killed_and_files_that_are_moved(
    tmp_path: Path, fmq: Processes, queue: Store, database: Path
) -> None:
    """Two processors on one file that is rotated by them and by others, SIGKILL in the middle: all arrives, all is whole.

    At most the batch that each kill interrupts is there twice.
    """
    rng = random.Random(20261124)
    folder = tmp_path / "files"
    folder.mkdir()
    path = folder / "lines.jsonl"

    def start() -> FmqProcess:
        return start_processor(
            fmq, "file", FMQ_FILE_PATH=path, FMQ_FILE_ROTATE_BYTES=_MESSAGES * 20, FMQ_MAX_RETRIES=50
        )

    workers = [start(), start()]
    feeder = threading.Thread(target=_feed, args=(database,))
    feeder.start()
    for kill in range(_KILLS):
        wait_until_done(queue, (kill + 1) * _MESSAGES // (_KILLS + 1), at_least=True)
        wait_for(partial(_move, path, folder / f"moved-{kill}.jsonl"), what="a file to move")
        victim = rng.randrange(2)
        workers[victim].kill()
        workers[victim] = start()
    feeder.join(60)
    wait_until_done(queue, _MESSAGES)
    assert [stop(worker) for worker in workers] == [0, 0]
    files = list(folder.iterdir())
    assert len(files) > _KILLS + 2
    arrived = [number for file in files for number in numbers(file)]
    assert duplicates(arrived, database, _MESSAGES) <= _KILLS * 100


def _move(path: Path, target: Path) -> bool:
    """Move the file, as logrotate does. There is none between a processor's own rotation and its next line."""
    try:
        path.rename(target)
    except FileNotFoundError:
        return False
    return True


def _feed(database: Path) -> None:
    """Bit by bit, so that there is work in hand at every kill."""
    with open_store(f"sqlite:///{database}") as feeding:
        for first in range(0, _MESSAGES, _MESSAGES // 100):
            put_numbers(feeding, range(first, first + _MESSAGES // 100))
            threading.Event().wait(0.01)
