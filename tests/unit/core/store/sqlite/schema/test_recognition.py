"""Whether a database is a store."""

from pathlib import Path

import apsw

from fmq.store.backends import open_store
from fmq.store.recognition import Kind
from fmq.store.sqlite.schema.recognition import recognize


def test_a_store_that_is_made_meanwhile(tmp_path: Path) -> None:
    """Two services that start together on a new file: neither takes the other's tables for a foreign database."""
    path = tmp_path / "mqtt_queue.db"
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "WAL")  # readers and a writer at the same time
    made: list[str] = []

    def make_it(_: apsw.Cursor, statement: str, __: object) -> bool:
        if "application_id" not in statement and "BEGIN" not in statement and not made:
            made.append(statement)
            open_store(f"sqlite:///{path}").close()
        return True

    connection.exec_trace = make_it
    assert recognize(connection).kind is Kind.EMPTY
    assert made
    assert recognize(connection).kind is Kind.CURRENT
    connection.close()
