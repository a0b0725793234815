"""Counters of a SQLite store against a full count of its tables, by SQL of the test's own."""

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
    sql = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        sql.set_busy_timeout(5_000)
        return sql.execute(statement, values).fetchall()
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
    tables = query(path, "SELECT name, table_name FROM fmq_queue")
    misplaced = [row for _, table in tables for row in query(path, _MISPLACED.format(table))]
    assert not misplaced
    return {name: query(path, _STATES.format(table))[0] for name, table in tables}


def counters(path: Path) -> dict[str, tuple[Any, ...]]:
    """The same, as the counters say."""
    return {row[0]: row[1:] for row in query(path, "SELECT name, pending, claimed, done, dead FROM fmq_queue")}
