"""A look into the tables from outside, on a read-only connection of its own."""

from pathlib import Path
from typing import Any, NamedTuple

import apsw


class Row(NamedTuple):
    """What a listener stores of a message; ``properties`` is JSON."""

    topic: str
    payload: bytes
    received_at: float
    qos: int
    retain: int
    properties: str | None


class Rows:
    """The rows of a database's queues, as committed at the moment of each call."""

    def __init__(self, path: Path) -> None:
        self._sql = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        self._sql.set_busy_timeout(5_000)

    def table(self, queue: str) -> str:
        """The name of the queue's table, quoted."""
        name = self._sql.execute("SELECT table_name FROM fmq_queue WHERE name = ?", (queue,)).get
        assert name is not None, f"queue {queue!r} does not exist"
        return '"' + str(name).replace('"', '""') + '"'

    def all(self, queue: str) -> list[Row]:
        """All rows, in the order in which they were stored."""
        columns = ", ".join(Row._fields)
        found = self._sql.execute(f"SELECT {columns} FROM {self.table(queue)} ORDER BY id")
        return [Row._make(row) for row in found.fetchall()]

    def payloads(self, queue: str) -> list[bytes]:
        """The payloads, in the order in which they were stored."""
        found: list[tuple[Any, ...]] = self._sql.execute(
            f"SELECT payload FROM {self.table(queue)} ORDER BY id"
        ).fetchall()
        return [payload for (payload,) in found]

    def count(self, queue: str) -> int:
        return int(self._sql.execute(f"SELECT count(*) FROM {self.table(queue)}").get)

    def holds(self, queue: str, payload: bytes) -> bool:
        """Whether a row with this payload is committed."""
        return bool(self._sql.execute(f"SELECT 1 FROM {self.table(queue)} WHERE payload = ?", (payload,)).get)

    def close(self) -> None:
        self._sql.close()
