"""A handler with a connection: a class with setup and teardown.

    fmq process dstdb 50 2 --handler examples.database:Readings

A message can come twice (its processor may die after the INSERT and before it could say so), so the row's key is
``message.unique_id``: the second time changes nothing. ``message.id`` alone counts within one queue of one store.
"""

import sqlite3

from fmq import Message


class Readings:
    """Keeps payloads in a database of its own."""

    _sql: sqlite3.Connection

    def setup(self) -> None:
        """Runs once, before the first message."""
        self._sql = sqlite3.connect("readings.db", isolation_level=None)
        self._sql.execute("CREATE TABLE IF NOT EXISTS reading (id TEXT PRIMARY KEY, topic TEXT, payload BLOB)")

    def handle(self, message: Message) -> None:
        """Runs once a message."""
        self._sql.execute(
            "INSERT OR IGNORE INTO reading VALUES (?, ?, ?)",
            (str(message.unique_id), message.topic, message.payload),
        )

    def teardown(self) -> None:
        """Runs once, after the last message."""
        self._sql.close()
