"""The handler ``queue`` in real processes: a target that is unavailable for a while, processors that are killed."""

from pathlib import Path

import apsw
import pytest

from fmq.store.roles import Store
from support.counting import counted, counters
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
from support.rows import Rows

_MESSAGES = how_many(2_000)
_KILLS = kills(_MESSAGES)


@pytest.fixture
def centre(tmp_path: Path) -> Path:
    return tmp_path / "centre.db"


def arrived(centre: Path) -> list[int]:
    """The payloads in the target, whose counters have to be right."""
    assert counters(centre) == counted(centre)
    rows = Rows(centre)
    try:
        return [int(payload) for payload in rows.payloads(f"edge/{QUEUE}")]
    finally:
        rows.close()


def start(fmq: Processes, centre: Path, *, retries: int = 3) -> FmqProcess:
    return start_processor(
        fmq,
        "queue",
        FMQ_QUEUE_TARGET_URL=f"sqlite:///{centre}",
        FMQ_QUEUE_TARGET_NAME="edge/{queue}",
        FMQ_QUEUE_TARGET_BUSY_SECONDS=0.05,
        FMQ_MAX_RETRIES=retries,
    )


def test_a_target_that_is_locked_for_a_while(fmq: Processes, queue: Store, database: Path, centre: Path) -> None:
    """Every message is handed over, once."""
    processor = start(fmq, centre)
    put_numbers(queue, range(_MESSAGES // 2))
    wait_until_done(queue, 100, at_least=True)
    blocker = apsw.Connection(str(centre))
    blocker.set_busy_timeout(10_000)
    blocker.execute("BEGIN IMMEDIATE")
    put_numbers(queue, range(_MESSAGES // 2, _MESSAGES))
    wait_for_outage(processor, 1)
    blocker.execute("ROLLBACK")
    blocker.close()
    wait_until_done(queue, _MESSAGES)
    assert processor.terminate() == 0
    assert duplicates(arrived(centre), database, _MESSAGES) == 0


def test_a_processor_that_is_killed(fmq: Processes, queue: Store, database: Path, centre: Path) -> None:
    """Every message is handed over, once, although each kill interrupts a batch."""
    put_numbers(queue, range(_MESSAGES))
    worker = start(fmq, centre, retries=50)
    for kill in range(_KILLS):
        wait_until_done(queue, (kill + 1) * _MESSAGES // (_KILLS + 1), at_least=True)
        worker.kill()
        worker = start(fmq, centre, retries=50)
    wait_until_done(queue, _MESSAGES)
    assert stop(worker) == 0
    assert duplicates(arrived(centre), database, _MESSAGES) == 0
