"""The numbered migrations.

``application_id`` marks the file as an fmq store, ``user_version`` is the number of the last migration. A released migration
never changes. A migration that is a function can reach the tables of all queues. The last step recreates the triggers: they
are code of the current version, not data.
"""

from collections.abc import Callable

import apsw

from fmq.store.sqlite.schema.tables import add_attempts, add_parking, make_triggers

APPLICATION_ID = 0x464D5131  # "FMQ1"
FIRST_VERSION = 2
"""The schema of the first release: what ``MIGRATIONS[0]`` makes."""


def _know_order_and_ages(connection: apsw.Connection) -> None:
    """Add a queue's mode and the marks of retention."""
    connection.execute(
        """
        ALTER TABLE fmq_queue ADD COLUMN ordered INTEGER CHECK (ordered IN (0, 1));
        CREATE TABLE fmq_mark (
            queue   TEXT NOT NULL,
            at      REAL NOT NULL,
            last_id INTEGER NOT NULL,
            PRIMARY KEY (queue, at)
        ) WITHOUT ROWID;
        """
    )


def _keep_history(connection: apsw.Connection) -> None:
    """Add what a page shows. Totals start with the messages that are still there.

    A minute is a number of Unix minutes; ``data`` is JSON. ``seen_at`` is in the store's steady time, other times in Unix
    seconds.
    """
    connection.execute(
        """
        ALTER TABLE fmq_queue ADD COLUMN handled INTEGER NOT NULL DEFAULT 0 CHECK (handled >= 0);
        ALTER TABLE fmq_queue ADD COLUMN failed INTEGER NOT NULL DEFAULT 0 CHECK (failed >= 0);
        ALTER TABLE fmq_queue ADD COLUMN died INTEGER NOT NULL DEFAULT 0 CHECK (died >= 0);
        UPDATE fmq_queue SET handled = done, died = dead;
        CREATE TABLE fmq_minute (
            minute INTEGER PRIMARY KEY,
            data   TEXT NOT NULL
        );
        CREATE TABLE fmq_service (
            name    TEXT PRIMARY KEY NOT NULL,
            seen_at REAL NOT NULL,
            data    TEXT NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE fmq_action (
            number    INTEGER PRIMARY KEY AUTOINCREMENT,
            at        REAL NOT NULL,
            actor     TEXT NOT NULL,
            kind      TEXT NOT NULL,
            queue     TEXT NOT NULL,
            selection TEXT NOT NULL,
            changed   INTEGER NOT NULL DEFAULT 0,
            ended_at  REAL
        );
        """
    )
    for _, table in _queues(connection):
        add_attempts(connection, table)


def _set_aside(connection: apsw.Connection) -> None:
    for _, table in _queues(connection):
        add_parking(connection, table)


MIGRATIONS: tuple[str | Callable[[apsw.Connection], None], ...] = (
    # 2: the registry of queues with their counters, and notes
    """
    CREATE TABLE fmq_queue (
        name       TEXT PRIMARY KEY NOT NULL,
        table_name TEXT NOT NULL UNIQUE COLLATE NOCASE,
        created_at REAL NOT NULL,
        head       INTEGER NOT NULL DEFAULT 0,
        stored     INTEGER NOT NULL DEFAULT 0 CHECK (stored >= 0),
        pending    INTEGER NOT NULL DEFAULT 0 CHECK (pending >= 0),
        claimed    INTEGER NOT NULL DEFAULT 0 CHECK (claimed >= 0),
        done       INTEGER NOT NULL DEFAULT 0 CHECK (done >= 0),
        dead       INTEGER NOT NULL DEFAULT 0 CHECK (dead >= 0)
    ) WITHOUT ROWID;
    CREATE TABLE fmq_note (
        key   TEXT PRIMARY KEY NOT NULL,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE fmq_token (
        one   INTEGER PRIMARY KEY CHECK (one = 1),
        token INTEGER NOT NULL
    );
    INSERT INTO fmq_token VALUES (1, 0);
    """,
    # 3: queues that an operator or a circuit breaker has paused
    """
    ALTER TABLE fmq_queue ADD COLUMN paused_at REAL;
    ALTER TABLE fmq_queue ADD COLUMN paused_reason TEXT;
    """,
    # 4: keys of duplicates, and receipts. expires_at is in the store's steady time
    """
    CREATE TABLE fmq_key (
        queue      TEXT NOT NULL,
        key        TEXT NOT NULL,
        expires_at REAL NOT NULL,
        PRIMARY KEY (queue, key)
    ) WITHOUT ROWID;
    CREATE INDEX fmq_key_expiry ON fmq_key (expires_at);
    CREATE TABLE fmq_receipt (
        session TEXT NOT NULL,
        number  INTEGER NOT NULL,
        data    BLOB NOT NULL,
        PRIMARY KEY (session, number)
    ) WITHOUT ROWID;
    """,
    # 5: whether a queue is claimed in order (NULL: not claimed yet), and marks: the last id at a moment of the store's time
    _know_order_and_ages,
    # 6: counters that only grow, history, services, failed attempts, actions of operators
    _keep_history,
    # 7: messages that are set aside for a route of a processor
    _set_aside,
)
LATEST_VERSION = FIRST_VERSION + len(MIGRATIONS) - 1


def migrate(connection: apsw.Connection, version: int) -> None:
    """Apply the migrations after ``version`` (0: an empty database). Within the caller's write transaction."""
    done = version - FIRST_VERSION + 1 if version else 0
    for step in MIGRATIONS[done:]:
        if isinstance(step, str):
            connection.execute(step)
        else:
            step(connection)
    for queue, table in _queues(connection):
        make_triggers(connection, queue=queue, table=table)
    connection.pragma("application_id", APPLICATION_ID)
    connection.pragma("user_version", LATEST_VERSION)


def _queues(connection: apsw.Connection) -> list[tuple[str, str]]:
    """Name and table of each queue."""
    rows = connection.execute("SELECT name, table_name FROM fmq_queue").fetchall()
    return [(str(name), str(table)) for name, table in rows]
