"""A store as fmq made it before queues knew their order: tables without CHECKs of types."""

from pathlib import Path

import apsw

_STATEMENTS = Path(__file__).with_name("schema-4.sql")


def make_schema_4(path: Path) -> None:
    """Make it: queue a/# with messages in all states, and an empty queue ``plain``. Its times are those of a FakeClock."""
    sql = apsw.Connection(str(path))
    sql.pragma("auto_vacuum", "INCREMENTAL")
    sql.execute(_STATEMENTS.read_text(encoding="utf-8"))
    sql.pragma("journal_mode", "WAL")
    sql.close()
