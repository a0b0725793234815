"""docs/from-php.md: the old database is refused, and its messages are carried over by the page's own commands."""

import re
import sqlite3
import subprocess
from pathlib import Path

import pytest

from docs.pages import ROOT, Page
from fmq.errors import StoreRefused
from fmq.store.backends import open_store
from support.counting import counted, counters, query
from support.processes import Processes
from support.wait import wait_for

PAGE = Page(ROOT / "docs/from-php.md")
# As the guide describes it: a table a topic, these columns, WAL.
SCHEMA = """
    PRAGMA journal_mode = WAL;
    CREATE TABLE msg_dstdb (
        id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, payload TEXT, received_at INTEGER,
        processed INTEGER DEFAULT 0, retry_count INTEGER DEFAULT 0
    );
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """What the PHP scripts leave: 30 messages, the first 10 processed, three of the others tried before."""
    path = tmp_path / "php/mqtt_queue.db"
    path.parent.mkdir()
    sql = sqlite3.connect(path)
    sql.executescript(SCHEMA)
    sql.executemany(
        "INSERT INTO msg_dstdb (topic, payload, received_at, processed, retry_count) VALUES ('dstdb', ?, ?, ?, ?)",
        [(f'{{"row": {n}, "name": "Grüße"}}', 1_700_000_000 + n, n < 10, n % 10 == 5) for n in range(30)],
    )
    sql.commit()
    sql.close()
    return path


def test_the_old_file_is_refused(old: Path) -> None:
    """As the page says: with a reason, and not a byte of it changed."""
    before = old.read_bytes()
    with pytest.raises(StoreRefused, match="is not an fmq database"):
        open_store(f"sqlite:///{old}")
    assert old.read_bytes() == before


@pytest.mark.parametrize("dates", ["received_at", "datetime(received_at, 'unixepoch')"])
def test_messages_are_carried_over(tmp_path: Path, old: Path, dates: str) -> None:
    """By the page's statement in the sqlite3 shell: what was not processed, in its order, counted, and then handled.

    Also from a table whose dates are text, as DATETIME DEFAULT CURRENT_TIMESTAMP makes them.
    """
    with sqlite3.connect(old) as sql:
        sql.execute("ALTER TABLE msg_dstdb RENAME COLUMN received_at TO at")
        sql.execute("ALTER TABLE msg_dstdb ADD COLUMN received_at DATETIME")
        sql.execute(f"UPDATE msg_dstdb SET received_at = {dates.replace('received_at', 'at')}")
    sql.close()
    (command,) = (block.text for block in PAGE.code("sh") if "ATTACH" in block.text)
    with open_store(f"sqlite:///{tmp_path}/mqtt_queue.db") as queue:
        queue.declare("dstdb")
    subprocess.run(["bash", "-eu", "-c", command], cwd=tmp_path, check=True)
    path = tmp_path / "mqtt_queue.db"
    assert counters(path) == counted(path) == {"dstdb": (20, 0, 0, 0)}
    assert query(path, "SELECT min(received_at), max(received_at) FROM msg_dstdb") == [
        (1_700_000_010.0, 1_700_000_029.0)
    ]
    (handler,) = PAGE.code("python")
    (tmp_path / "mine.py").write_text(handler.text, encoding="utf-8")
    with Processes(tmp_path) as processes, open_store(f"sqlite:///{path}") as queue:
        process = processes.start("process", "dstdb", "50", "2", FMQ_HANDLER="mine:handle", PYTHONUNBUFFERED=1)
        wait_for(lambda: queue.stats("dstdb").done == 20, what="20 messages")
        assert process.terminate() == 0
    printed = re.findall(r'^\d+ dstdb \{"row": (\d+), "name": "Grüße"\}$', process.text, re.MULTILINE)
    assert printed == [str(n) for n in range(10, 30)]
    assert len(sqlite3.connect(old).execute("SELECT 1 FROM msg_dstdb").fetchall()) == 30
