"""The tables of queues. A connection reads their names once (docs/adr/0025)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw

from fmq.errors import StoreUnavailable, UnknownQueue
from fmq.store.nearest import no_queue
from fmq.store.sqlite.names import quoted
from fmq.store.sqlite.schema.tables import attempts_table, lent_table
from fmq.store.sqlite.translating import translated


class QueueTables:
    """The part of Database that knows the queues."""

    path: Path
    sql: apsw.Connection

    def __init__(self) -> None:
        self._tables: dict[str, str] = {}

    def rows(self, statement: str, values: Sequence[object] | Mapping[str, object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a statement, read before anything else runs."""
        return self.sql.execute(statement, values).fetchall()

    def table(self, queue: str) -> str:
        """The name, quoted for SQL, of the queue's table. Raises UnknownQueue."""
        return quoted(self.bare_table(queue))

    def lent(self, queue: str) -> str:
        """The name, quoted for SQL, of the table of what was lent of the queue. Raises UnknownQueue."""
        return lent_table(self.bare_table(queue))

    def attempts(self, queue: str) -> str:
        """The name, quoted for SQL, of the table of failed attempts at the queue's messages. Raises UnknownQueue."""
        return attempts_table(self.bare_table(queue))

    def bare_table(self, queue: str) -> str:
        """The name of the queue's table. Raises UnknownQueue."""
        known = self._tables.get(queue)
        if known is None:
            known = self._tables[queue] = str(self.of_queue(queue, "table_name")[0])
        return known

    def has(self, queue: str) -> bool:
        """Whether there is such a queue at the moment."""
        return bool(self.rows("SELECT 1 FROM fmq_queue WHERE name = ?", (queue,)))

    def of_queue(self, queue: str, columns: str) -> tuple[Any, ...]:
        """What the registry says of the queue at the moment. Raises UnknownQueue."""
        with translated(self.path):
            rows = self.rows(f"SELECT {columns} FROM fmq_queue WHERE name = ?", (queue,))
        if not rows:
            self._tables.pop(queue, None)
            names = [str(name) for (name,) in self.rows("SELECT name FROM fmq_queue ORDER BY name")]
            raise UnknownQueue(no_queue(queue, str(self.path), names))
        return rows[0]

    def require_queues(self, error: apsw.SQLError) -> None:
        """After a failed statement: raise UnknownQueue if somebody has deleted a queue whose table this connection knew.

        Raises StoreUnavailable if the table that was missing is there again: the next call finds it.
        """
        gone = [name for name in self._tables if not self.has(name)]
        for name in gone:
            del self._tables[name]
        if gone:
            raise UnknownQueue(f"{', '.join(map(repr, gone))} was deleted from {self.path} meanwhile")
        missing = str(error).partition("no such table: ")[2].removeprefix("main.")
        if missing and self.rows("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (missing,)):
            raise StoreUnavailable(f"{missing} was created again in {self.path} meanwhile")
