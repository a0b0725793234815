"""Checkpoints in a thread of their own."""

from pathlib import Path

import apsw
import pytest

from fmq.message import Incoming
from fmq.store.options import Durability, StoreOptions
from fmq.store.sqlite.file import checkpoints
from fmq.store.sqlite.file.checkpoints import Checkpoints
from support.backends import SqliteUnderTest
from support.wait import wait_for

_PAGE = 8_192
_PUTS = StoreOptions(durability=Durability.NORMAL, only_puts=True)


def test_the_log_is_copied_while_commits_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database grows although the log is far below the size at which a commit copies it; closing ends the thread."""
    monkeypatch.setattr(checkpoints, "_STEP_PAGES", 20)
    backend = SqliteUnderTest(tmp_path)
    with backend.open(_PUTS) as store:
        store.declare("q")
        store.put([Incoming("q", "t", b"x" * 2_000, backend.clock.wall())] * 400)
        wait_for(lambda: backend.path.stat().st_size > 90 * _PAGE, what="the pages of the log in the database")
        with backend.open() as other:
            assert other.stats("q").pending == 400
    assert backend.full_count() == {"q": (400, 0, 0, 0)}


@pytest.mark.parametrize("is_there", [True, False])
def test_the_log_stays_within_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_there: bool) -> None:
    """Commits copy it themselves from there on, also where the thread can't open the file. A commit never fails by it."""
    monkeypatch.setattr(checkpoints, "LOG_PAGES", 30)
    path = tmp_path / "a.db"
    sql = apsw.Connection(str(path))
    sql.pragma("page_size", _PAGE)
    sql.pragma("journal_mode", "WAL")
    sql.pragma("synchronous", "NORMAL")
    sql.execute("CREATE TABLE t (x)")
    copying = Checkpoints(sql, path if is_there else tmp_path / "nothing" / "b.db")
    largest = 0
    for _ in range(100):
        sql.execute("INSERT INTO t VALUES (zeroblob(20000))")
        largest = max(largest, path.with_name("a.db-wal").stat().st_size)
    copying.close()
    assert 29 * _PAGE < largest < 45 * _PAGE
    assert sql.execute("SELECT count(*) FROM t").get == 100
    sql.close()
