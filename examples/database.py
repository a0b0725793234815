"""A handler with a connection: a class with setup and teardown.

    fmq process dstdb 50 2 --handler examples.database:Readings

A message can come twice, since a processor may die between the INSERT and its settlement. So the key of the row is
``message.unique_id``, and the second INSERT changes nothing. ``message.id`` is unique only within one queue of one store.
"""

import sqlite3

from fmq import Message


class Readings:
    """Writes payloads to its own database."""

    _sql: sqlite3.Connection

    def setup(self) -> None:
        """Open the database. Runs once, before the first message."""
        self._sql = sqlite3.connect("readings.db", isolation_level=None)
        self._sql.execute("CREATE TABLE IF NOT EXISTS reading (id TEXT PRIMARY KEY, topic TEXT, payload BLOB)")

    def handle(self, message: Message) -> None:
        """Write one message. Runs once per attempt."""
        self._sql.execute(
            "INSERT OR IGNORE INTO reading VALUES (?, ?, ?)",
            (str(message.unique_id), message.topic, message.payload),
        )

    def teardown(self) -> None:
        """Close the database. Runs once, after the last message."""
        self._sql.close()
