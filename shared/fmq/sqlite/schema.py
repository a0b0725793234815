"""The tables, and the numbered steps that bring an older file up to date.

``application_id`` marks the file as fmq's, ``user_version`` is the number of the last migration applied.
A queue's table has the guide's columns (``id``, ``topic``, ``payload``, ``received_at``, ``processed``,
``retry_count``), so that its statements run unchanged.
"""

import apsw

from fmq.clock import Clock
from fmq.sqlite.names import quoted

APPLICATION_ID = 0x464D5131  # "FMQ1"

MIGRATIONS: tuple[str, ...] = (
    # 1: the registry of queues with their counters, and notes
    """
    CREATE TABLE fmq_queue (
        name       TEXT PRIMARY KEY NOT NULL,
        table_name TEXT NOT NULL UNIQUE COLLATE NOCASE,
        created_at REAL NOT NULL,
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
)

# payload stands last, so that reading any other column of a large message does not walk through its pages.
# available_at: pending, when it is due; claimed, when its lease ends. Both in the store's steady time.
# token: the claim that holds the message. dead_at and reason: only on dead letters. settled_at: Unix seconds.
# qos is NULL on a row that somebody's own SQL put there: the INSERT trigger counts those, and only those, since
# a trigger per row costs a third of the speed of put(), which adds a batch to the counters in one statement.
# So do claims and settlements: a change that gives or takes a token is one of these, and the UPDATE trigger counts every
# other one, by an operator's command or by somebody's own SQL.
_QUEUE_TABLE = """
CREATE TABLE {table} (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    topic        TEXT NOT NULL,
    received_at  REAL NOT NULL,
    processed    INTEGER NOT NULL DEFAULT 0 CHECK (processed IN (0, 1)),
    retry_count  INTEGER NOT NULL DEFAULT 0 CHECK (retry_count >= 0),
    qos          INTEGER CHECK (qos BETWEEN 0 AND 2),
    retain       INTEGER NOT NULL DEFAULT 0 CHECK (retain IN (0, 1)),
    properties   TEXT,
    available_at REAL NOT NULL DEFAULT 0,
    token        INTEGER,
    settled_at   REAL,
    dead_at      REAL,
    reason       TEXT,
    payload      BLOB NOT NULL,
    CHECK (token IS NULL OR processed = 0),
    CHECK (dead_at IS NULL OR processed = 1)
);
CREATE INDEX {ready} ON {table} (available_at, id) WHERE processed = 0;
CREATE INDEX {retried} ON {table} (received_at) WHERE processed = 0 AND token IS NULL AND retry_count > 0;
CREATE INDEX {dead} ON {table} (id) WHERE dead_at IS NOT NULL;
CREATE TRIGGER {inserted} AFTER INSERT ON {table} WHEN NEW.qos IS NULL BEGIN
    UPDATE fmq_queue SET
        stored  = stored + 1,
        pending = pending + (NEW.processed = 0 AND NEW.token IS NULL),
        claimed = claimed + (NEW.token IS NOT NULL),
        done    = done + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead + (NEW.dead_at IS NOT NULL)
    WHERE name = {name};
END;
CREATE TRIGGER {updated} AFTER UPDATE OF processed, token, dead_at ON {table} WHEN NEW.token IS OLD.token BEGIN
    UPDATE fmq_queue SET
        pending = pending - (OLD.processed = 0 AND OLD.token IS NULL) + (NEW.processed = 0 AND NEW.token IS NULL),
        claimed = claimed - (OLD.token IS NOT NULL) + (NEW.token IS NOT NULL),
        done    = done - (OLD.processed = 1 AND OLD.dead_at IS NULL) + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead - (OLD.dead_at IS NOT NULL) + (NEW.dead_at IS NOT NULL)
    WHERE name = {name};
END;
CREATE TRIGGER {deleted} AFTER DELETE ON {table} BEGIN
    UPDATE fmq_queue SET
        pending = pending - (OLD.processed = 0 AND OLD.token IS NULL),
        claimed = claimed - (OLD.token IS NOT NULL),
        done    = done - (OLD.processed = 1 AND OLD.dead_at IS NULL),
        dead    = dead - (OLD.dead_at IS NOT NULL)
    WHERE name = {name};
END;
"""


def create_queue_table(connection: apsw.Connection, *, queue: str, table: str, clock: Clock) -> None:
    """Make a queue's table and register it. Within the caller's write transaction."""
    parts = ("ready", "retried", "dead", "inserted", "updated", "deleted")
    names = {part: quoted(f"fmq_{table}_{part}") for part in parts}
    connection.execute(
        "INSERT INTO fmq_queue (name, table_name, created_at) VALUES (?, ?, ?)", (queue, table, clock.wall())
    )
    connection.execute(_QUEUE_TABLE.format(table=quoted(table), name=apsw.format_sql_value(queue), **names))


def topic_index(table: str) -> str:
    """The name of the index of ordered claims. Only queues that are claimed in order have it and pay for it."""
    return quoted(f"fmq_{table}_topic")


def ready_index(table: str) -> str:
    """The name of the index that claims go by."""
    return quoted(f"fmq_{table}_ready")


def migrate(connection: apsw.Connection, version: int) -> None:
    """Apply the migrations after ``version``. Within the caller's write transaction."""
    for statements in MIGRATIONS[version:]:
        connection.execute(statements)
    connection.pragma("application_id", APPLICATION_ID)
    connection.pragma("user_version", len(MIGRATIONS))
