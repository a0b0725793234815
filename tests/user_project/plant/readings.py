"""A typed handler with state: a reading goes into a table."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import fmq


@dataclass
class Reading:
    """The payload."""

    temperature: float
    unit: str = "C"


def setup() -> Iterator[sqlite3.Connection]:
    """Open the table. What follows the yield is the tear-down."""
    database = sqlite3.connect("readings.db", isolation_level=None, check_same_thread=False)
    database.execute("CREATE TABLE IF NOT EXISTS reading (id TEXT PRIMARY KEY, topic TEXT, celsius REAL)")
    yield database
    database.close()


def handle(message: fmq.Message, reading: Reading, database: sqlite3.Connection) -> None:
    """Store one reading."""
    if reading.unit != "C":
        raise fmq.Reject(f"unknown unit {reading.unit!r}")
    row = (str(message.unique_id), message.topic, reading.temperature)
    try:
        database.execute("INSERT OR IGNORE INTO reading VALUES (?, ?, ?)", row)
    except sqlite3.OperationalError as error:
        raise fmq.Unavailable(after=5, reason=str(error)) from error
