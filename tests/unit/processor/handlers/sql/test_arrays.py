"""Batches that go to PostgreSQL as arrays: the same rows, and the same refusals, as one statement per row."""

import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fmq.outcome import Reject
from fmq.service.environment import load
from fmq_processor.handlers.sql.handler import SqlHandler
from fmq_processor.handlers.sql.settings import SqlSettings
from support.databases import message, on_postgres
from support.postgres import Postgres
from support.webhook import STORE

pytestmark = pytest.mark.postgres

_COLUMNS = {
    "small": "SMALLINT",
    "large": "BIGINT",
    "ratio": "REAL",
    "exact": "NUMERIC(6,2)",
    "ok": "BOOLEAN",
    "short": "VARCHAR(3)",
    "fixed": "CHAR(4)",
    "long": "TEXT",
    "day": "DATE",
    "at": "TIMESTAMPTZ",
    "local": "TIMESTAMP",
    "one": "UUID",
    "doc": "JSON",
    "docb": "JSONB",
    "positive": "percent%",
}
_GOOD: list[dict[str, Any]] = [
    {},
    {"small": -32_768, "large": 2**63 - 1, "ratio": 1.5, "exact": 12.345, "ok": True, "short": "äöü", "fixed": "ab"},
    {"long": 'quoted "\\{}, and NULL', "day": "2026-11-24", "at": "2026-11-24T12:00:00+02:00", "local": 1_764_000_000},
    {"one": "5a1f4c6e-0000-4000-8000-000000000002", "doc": {"a": [1, None]}, "docb": [1.5, "x"], "positive": 7},
    {"short": "ab     ", "long": ""},
]
_BAD: list[dict[str, Any]] = [
    {"small": 40_000},
    {"large": 2**63},
    {"ratio": 1e300},
    {"exact": 123_456},
    {"short": "abcd"},
    {"fixed": "abcde"},
    {"long": "a\0b"},
    {"docb": "\0"},
    {"positive": -1},
]


def _rows(server: Postgres, *, arrays: bool) -> tuple[list[tuple[Any, ...]], list[type]]:
    database = on_postgres(server)
    database.execute('CREATE DOMAIN "percent%" AS INTEGER CHECK (VALUE > 0)')
    columns = ", ".join(
        f'"{name}" {kind if "%" not in kind else chr(34) + kind + chr(34)}' for name, kind in _COLUMNS.items()
    )
    database.make(f"message_key TEXT PRIMARY KEY, {columns}")
    chosen = ",".join(["message_key=key", *(f"{name}=json:{name}" for name in _COLUMNS)])
    environ = {"FMQ_SQL_URL": database.url, "FMQ_SQL_COLUMNS": chosen}
    handler = SqlHandler(load(SqlSettings, {}, environ), CollectorRegistry())
    handler.know_store(STORE)
    handler.setup()
    assert handler._target is not None
    assert handler._target.arrays is not None
    if not arrays:
        handler._target.arrays = None
    results: list[object] = []
    for some in (_GOOD, [*_GOOD, *_BAD], *([one] for one in _BAD)):
        first = len(results)
        results += handler.handle([message(first + n, json.dumps(one).encode()) for n, one in enumerate(some)])
    handler.teardown()
    names = ", ".join(f'"{name}"::text' for name in _COLUMNS)
    return database.execute(f"SELECT {names} FROM message ORDER BY message_key"), [type(one) for one in results]


def test_rows_and_refusals(postgres: Postgres) -> None:
    """Of every type that comes in an array; values that a column can't hold are refused, and never cut."""
    rows, results = _rows(postgres, arrays=True)
    assert (rows, results) == _rows(postgres, arrays=False)
    assert len(rows) == 2 * len(_GOOD)
    assert results.count(Reject) == 2 * len(_BAD)


def test_a_type_that_only_the_database_knows(postgres: Postgres) -> None:
    """Its rows are inserted one by one."""
    database = on_postgres(postgres)
    database.execute("CREATE TYPE mood AS ENUM ('good', 'bad')")
    database.make("message_key TEXT PRIMARY KEY, mood mood")
    settings = load(SqlSettings, {}, {"FMQ_SQL_URL": database.url, "FMQ_SQL_COLUMNS": "message_key=key,mood=body"})
    handler = SqlHandler(settings, CollectorRegistry())
    handler.know_store(STORE)
    handler.setup()
    assert handler._target is not None
    assert handler._target.arrays is None
    results = handler.handle([message(1, b"good"), message(2, b"fine")])
    handler.teardown()
    assert [type(one) for one in results] == [type(None), Reject]
