"""A backup is restored, or a folder moved, under running services: each ends with 3, and nothing is acknowledged for nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fmq.store.backends import backend_of, open_store
from support.broker import Broker, publish
from support.processes import FmqProcess, Processes
from support.rows import Rows
from support.wait import wait_for


@pytest.fixture
def database(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data/mqtt_queue.db"


def restore(database: Path) -> None:
    """As by mv, while the services run."""
    backup = database.with_name("backup.db")
    for ending in ("-wal", "-shm"):
        Path(f"{database}{ending}").unlink()
    backup.replace(database)


def move(database: Path) -> None:
    database.parent.rename(database.parent.with_name("moved"))


CHANGES = pytest.mark.parametrize("change", [restore, move])


def listen(fmq: Processes, broker: Broker, database: Path) -> FmqProcess:
    listener = fmq.start(
        "listen", "w", FMQ_BROKER_URL=broker.url, FMQ_QUEUE_URL=f"sqlite:///{database}", FMQ_CLIENT_ID="listener"
    )
    listener.wait_to_say("Connected and subscribed successfully")
    return listener


def ended(process: FmqProcess) -> bool:
    return process.wait() == 3 and "replaced, removed or renamed" in process.text


@CHANGES
@pytest.mark.parametrize("busy", [True, False])
def test_a_listener(
    broker: Broker, fmq: Processes, database: Path, change: Callable[[Path], None], *, busy: bool
) -> None:
    """Under load or idle; the next one stores what the broker kept, and with the restored file nothing newer is lost."""
    listener = listen(fmq, broker, database)
    publish(broker.port, [("w", b"old %d" % number) for number in range(50)])
    rows = Rows(database)
    wait_for(lambda: rows.count("w") == 50, what="50 rows")
    rows.close()
    backend_of(f"sqlite:///{database}").back_up(
        f"sqlite:///{database}", str(database.with_name("backup.db")), on_progress=lambda _done, _pages: None
    )
    change(database)
    sent = [b"new %d" % number for number in range(100)] if busy else []
    publish(broker.port, [("w", payload) for payload in sent])
    assert ended(listener)
    database.parent.mkdir(exist_ok=True)
    listen(fmq, broker, database)
    rows = Rows(database)
    wait_for(lambda: set(sent) <= set(rows.payloads("w")), what="what was published after the change")
    rows.close()


@CHANGES
def test_an_idle_processor(fmq: Processes, database: Path, change: Callable[[Path], None]) -> None:
    """Its loop, its upkeep and its readiness all look; it ends on its own."""
    with open_store(f"sqlite:///{database}") as queue:
        queue.declare("w")
    processor = fmq.start("process", "w", FMQ_QUEUE_URL=f"sqlite:///{database}")
    processor.wait_to_say("Starting processor")
    backend_of(f"sqlite:///{database}").back_up(
        f"sqlite:///{database}", str(database.with_name("backup.db")), on_progress=lambda _done, _pages: None
    )
    wait_for(lambda: Path(f"{database}-wal").exists(), what="the log")
    change(database)
    assert ended(processor)


def test_a_processor_of_the_other_order(fmq: Processes, database: Path) -> None:
    """It says so and exits with 2, and the one that was first goes on."""
    with open_store(f"sqlite:///{database}") as queue:
        queue.declare("w")
        first = fmq.start("process", "w", FMQ_QUEUE_URL=f"sqlite:///{database}", FMQ_ORDERED="true")
        wait_for(lambda: queue.ordered("w"), what="the first claim")
        other = fmq.start("process", "w", FMQ_QUEUE_URL=f"sqlite:///{database}")
        assert other.wait() == 2
        assert "delivered in order" in other.text
        assert "Traceback" not in other.text
    assert first.running
    assert first.terminate() == 0
