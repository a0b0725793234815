"""Stores as earlier versions of fmq made them, with queues and messages in all states. Their times are a FakeClock's."""

from pathlib import Path

import apsw

VERSIONS = (4, 5, 6)
"""The schema versions of which there is one. 4: tables without CHECKs of types."""


def make_old_store(path: Path, version: int) -> None:
    """Make the store of schema ``version``; the head of its SQL file says what it holds."""
    sql = apsw.Connection(str(path))
    sql.pragma("auto_vacuum", "INCREMENTAL")
    sql.execute(Path(__file__).with_name(f"schema-{version}.sql").read_text(encoding="utf-8"))
    sql.pragma("journal_mode", "WAL")
    sql.close()
