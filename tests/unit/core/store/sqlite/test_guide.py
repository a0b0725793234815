"""The usage guide's SQL runs unchanged against an fmq database."""

import shutil
import subprocess
from pathlib import Path

import pytest

from fmq.message import Incoming
from fmq.outcome import Dead, Done, GiveBack, RetryLater
from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.counting import counted, counters, execute, query


@pytest.fixture
def store(tmp_path: Path) -> Store:
    queue = open_store(f"sqlite:///{tmp_path}/mqtt_queue.db")
    for name in ("dstdb", "sensor/temperature", "alerts/critical"):
        queue.declare(name)
        queue.put([Incoming(name, name, b'{"a": 1}', 1_800_000_000.5) for _ in range(3)])
    return queue


def test_pending_by_table(store: Store, tmp_path: Path) -> None:
    """The statement that counts unprocessed messages by topic answers as the guide says; dead letters are processed."""
    done, dead = store.claim("dstdb", 2, lease=60)
    store.settle([(done, Done()), (dead, Dead("x"))])
    rows = query(
        tmp_path / "mqtt_queue.db",
        """
        SELECT 'msg_dstdb' as topic, COUNT(*) as pending FROM msg_dstdb WHERE processed = 0
        UNION ALL
        SELECT 'msg_sensor_temperature' as topic, COUNT(*) as pending FROM msg_sensor_temperature WHERE processed = 0;
        """,
    )
    assert rows == [("msg_dstdb", 1), ("msg_sensor_temperature", 3)]


def test_the_health_check_finds_the_queues_and_nothing_else(store: Store, tmp_path: Path) -> None:
    """Every table whose name begins with msg_ is a queue, with the guide's columns."""
    path = tmp_path / "mqtt_queue.db"
    tables = query(path, "SELECT name FROM sqlite_master WHERE type='table' AND name LIKE 'msg_%'")
    assert sorted(name for (name,) in tables) == ["msg_alerts_critical", "msg_dstdb", "msg_sensor_temperature"]
    for (table,) in tables:
        query(path, f"SELECT id, topic, payload, received_at, processed, retry_count FROM {table}")
    store.close()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE msg_dstdb SET processed = 1 WHERE id = 1", (2, 0, 1, 0)),
        ("DELETE FROM msg_dstdb WHERE id < 3", (1, 0, 0, 0)),
        ("INSERT INTO msg_dstdb (topic, payload, received_at) VALUES ('dstdb', 'x', 1)", (4, 0, 0, 0)),
    ],
)
def test_an_operators_own_statements_are_counted(
    store: Store, tmp_path: Path, statement: str, expected: tuple[int, ...]
) -> None:
    """Rows that somebody inserts, marks or deletes in the sqlite3 shell change the counters too, and can be claimed."""
    shell = shutil.which("sqlite3")
    assert shell, "this test needs the sqlite3 shell: apt-get install sqlite3"
    subprocess.run([shell, "-bail", tmp_path / "mqtt_queue.db", statement], check=True)
    stats = store.stats("dstdb")
    assert (stats.pending, stats.claimed, stats.done, stats.dead) == expected
    assert len(store.claim("dstdb", 10, lease=60)) == expected[0]


@pytest.mark.parametrize("statement", ["UPDATE msg_dstdb SET processed = 1", "DELETE FROM msg_dstdb"])
@pytest.mark.parametrize("state", ["claimed", "waits for a retry", "given back"])
def test_what_is_lent_is_marked_by_hand(store: Store, tmp_path: Path, statement: str, state: str) -> None:
    """Nobody gets it any more, its claim is stale, and none of it is left among what is lent."""
    path = tmp_path / "mqtt_queue.db"
    (claim,) = store.claim("dstdb", 1, lease=60)
    if state != "claimed":
        store.settle([(claim, RetryLater(0) if state == "waits for a retry" else GiveBack())])
    execute(path, f"{statement} WHERE id = 1")
    assert counters(path)["dstdb"] == counted(path)["dstdb"]
    assert [one.message.id for one in store.claim("dstdb", 10, lease=60)] == [2, 3]
    assert store.settle([(claim, Done())]) == [claim]
    assert counters(path)["dstdb"] == counted(path)["dstdb"]
    store.close()
