"""Counters of a SQLite store against a full count of its tables, by SQL of the test's own."""

from pathlib import Path
from typing import Any

import apsw

_STATES = """
    count(*) FILTER (WHERE processed = 0 AND token IS NULL),
    count(*) FILTER (WHERE token IS NOT NULL),
    count(*) FILTER (WHERE processed = 1 AND dead_at IS NULL),
    count(*) FILTER (WHERE dead_at IS NOT NULL)
"""


def query(path: Path, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """What an outsider's statement answers."""
    sql = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        sql.set_busy_timeout(5_000)
        return sql.execute(statement, values).fetchall()
    finally:
        sql.close()


def counted(path: Path) -> dict[str, tuple[Any, ...]]:
    """Pending, claimed, done and dead of each queue, by counting rows."""
    tables = query(path, "SELECT name, table_name FROM fmq_queue")
    return {name: query(path, f'SELECT {_STATES} FROM "{table}"')[0] for name, table in tables}  # noqa: S608


def counters(path: Path) -> dict[str, tuple[Any, ...]]:
    """The same, as the counters say."""
    return {row[0]: row[1:] for row in query(path, "SELECT name, pending, claimed, done, dead FROM fmq_queue")}
