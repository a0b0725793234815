"""The handler ``exec`` in real processes: commands that fail for a while, processors that are killed or stopped."""

import os
from pathlib import Path

import pytest

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
from support.processes import Processes
from support.wait import wait_for

_MESSAGES = how_many(400)
_KILLS = kills(_MESSAGES)
_SCRIPT = """#!/bin/sh
test -e {folder}/open || {{ echo "not open" >&2; exit 75; }}
read -r number
echo "$number" >> {folder}/arrived
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Notes the payload, if it is open."""
    path = tmp_path / "deliver"
    path.write_text(_SCRIPT.format(folder=tmp_path), encoding="utf-8")
    path.chmod(0o755)
    return path


def arrived(folder: Path) -> list[int]:
    path = folder / "arrived"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_command_that_fails_for_a_while(
    tmp_path: Path, fmq: Processes, queue: Store, database: Path, script: Path
) -> None:
    """With exit code 75, then because it is gone: every message arrives once when it works again."""
    (tmp_path / "open").touch()
    processor = start_processor(fmq, "exec", FMQ_EXEC_COMMAND=script, FMQ_CONCURRENCY=4)
    put_numbers(queue, range(_MESSAGES // 2))
    wait_until_done(queue, 20, at_least=True)
    (tmp_path / "open").unlink()
    put_numbers(queue, range(_MESSAGES // 2, _MESSAGES))
    wait_for_outage(processor, 1)
    script.rename(tmp_path / "away")
    (tmp_path / "open").touch()
    wait_for_outage(processor, 1)
    assert len(arrived(tmp_path)) < _MESSAGES
    (tmp_path / "away").rename(script)
    wait_until_done(queue, _MESSAGES)
    assert processor.terminate() == 0
    assert duplicates(arrived(tmp_path), database, _MESSAGES) == 0


def test_a_processor_that_is_killed(tmp_path: Path, fmq: Processes, queue: Store, database: Path, script: Path) -> None:
    """Every message arrives; again come at most those that the killed one had in hand."""
    (tmp_path / "open").touch()
    put_numbers(queue, range(_MESSAGES))
    settings = {"FMQ_EXEC_COMMAND": script, "FMQ_CONCURRENCY": 4, "FMQ_BATCH": 20, "FMQ_MAX_RETRIES": 50}
    worker = start_processor(fmq, "exec", **settings)
    for kill in range(_KILLS):
        wait_until_done(queue, (kill + 1) * _MESSAGES // (_KILLS + 1), at_least=True)
        worker.kill()
        worker = start_processor(fmq, "exec", **settings)
    wait_until_done(queue, _MESSAGES)
    assert stop(worker) == 0
    assert duplicates(arrived(tmp_path), database, _MESSAGES) <= _KILLS * 20


def test_nothing_of_a_command_outlives_its_timeout_or_a_stopped_processor(
    tmp_path: Path, fmq: Processes, queue: Store
) -> None:
    """Neither the command nor its child, although both take no notice of SIGTERM."""
    script = tmp_path / "hang"
    script.write_text(f"#!/bin/sh\ntrap '' TERM\nsleep 600 &\necho $! $$ >> {tmp_path}/pids\nwait\n", encoding="utf-8")
    script.chmod(0o755)

    def pids() -> list[int]:
        path = tmp_path / "pids"
        return [int(word) for word in path.read_text().split()] if path.exists() else []

    put_numbers(queue, range(1))
    processor = start_processor(fmq, "exec", FMQ_EXEC_COMMAND=script, FMQ_HANDLER_TIMEOUT=0.3, FMQ_MAX_RETRIES=0)
    wait_for(lambda: queue.stats(QUEUE).dead == 1, what="the time-out")
    wait_for(lambda: not any(map(_alive, pids())), what="the end of all that they started")
    assert len(pids()) == 2
    assert processor.terminate() == 0

    put_numbers(queue, range(1))
    processor = start_processor(fmq, "exec", FMQ_EXEC_COMMAND=script, FMQ_GRACE_SECONDS=0.2)
    wait_for(lambda: len(pids()) == 4, what="the command")
    assert processor.terminate() == 0
    wait_for(lambda: not any(map(_alive, pids())), what="the end of all that it started")
    assert queue.stats(QUEUE).pending == 1


def _alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
