"""Counters of a SQLite store against a full count of its tables, by SQL of the test's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

_STATES = """
    SELECT
        count(*) FILTER (WHERE processed = 0 AND token IS NULL),
        count(token),
        count(*) FILTER (WHERE processed = 1 AND dead_at IS NULL),
        count(*) FILTER (WHERE dead_at IS NOT NULL)
    FROM "{0}" LEFT JOIN "fmq_{0}_lent" USING (id)
"""
# A message that nobody would find (unsettled, behind the head, not among the lent ones), and a lent one that is none.
_MISPLACED = """
    SELECT 'lost', id FROM "{0}" WHERE processed = 0 AND id <= (SELECT head FROM fmq_queue WHERE table_name = '{0}')
        AND id NOT IN (SELECT id FROM "fmq_{0}_lent")
    UNION ALL
    SELECT 'void', id FROM "fmq_{0}_lent" WHERE id NOT IN (SELECT id FROM "{0}" WHERE processed = 0)
"""


def query(path: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """What an outsider's statement answers."""
    with reading(path) as ask:
        return ask(statement, *values)


@contextmanager
def reading(path: Path) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Ask several statements on one connection: opening a database with many queues takes longer than a question."""
    sql = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        sql.set_busy_timeout(5_000)
        yield lambda statement, *values: sql.execute(statement, values).fetchall()
    finally:
        sql.close()


def execute(path: Path, statement: str, *values: object) -> None:
    """Run an outsider's statement that writes."""
    sql = apsw.Connection(str(path))
    try:
        sql.set_busy_timeout(5_000)
        sql.execute(statement, values)
    finally:
        sql.close()


def counted(path: Path) -> dict[str, tuple[Any, ...]]:
    """Pending, claimed, done and dead of each queue, by counting rows; also that each stands where it is looked for."""
    with reading(path) as ask:
        tables = ask("SELECT name, table_name FROM fmq_queue")
        misplaced = [row for _, table in tables for row in ask(_MISPLACED.format(table))]
        assert not misplaced
        return {name: ask(_STATES.format(table))[0] for name, table in tables}


def counters(path: Path) -> dict[str, tuple[Any, ...]]:
    """The same, as the counters say."""
    return {row[0]: row[1:] for row in query(path, "SELECT name, pending, claimed, done, dead FROM fmq_queue")}
