"""The tables, and the numbered steps that bring an older file up to date.

``application_id`` marks the file as fmq's, ``user_version`` is the number of the last migration applied.
A queue's table has the guide's columns (``id``, ``topic``, ``payload``, ``received_at``, ``processed``,
``retry_count``), so that its statements run unchanged.

Beside it stands a small table of what was lent and is not settled. A queue is worked off in the order of its ids, so
what was never lent needs neither a mark nor an index: it is what stands behind ``head``, the last id that was lent in
turn (docs/adr/0011). Always:

* A message with ``processed = 0`` and an id up to ``head`` has a row among the lent ones. One above ``head`` may have one
  (ordered claims take messages from anywhere). No message with ``processed = 1`` has one.
* A row among the lent ones is a claim if it has a ``token``; else its message waits to be lent again at ``due_at``.
"""

import apsw

from fmq.clock import Clock
from fmq.sqlite.names import quoted

APPLICATION_ID = 0x464D5131  # "FMQ1"
FIRST_VERSION = 2
"""The schema of the first release: what ``MIGRATIONS[0]`` makes."""

MIGRATIONS: tuple[str, ...] = (
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
    # 4: what tells duplicates. expires_at is in the store's steady time
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
)
LATEST_VERSION = FIRST_VERSION + len(MIGRATIONS) - 1

# payload stands last, so that reading any other column of a large message does not walk through its pages.
# changed_at: Unix seconds, when the message was received, and then when it was settled. It is there from the start, so
# that settling keeps the row's size: SQLite then writes the changed bytes only, and the payload stays where it is.
# reason: why the last attempt failed. dead_at: only on dead letters.
# due_at: of a claim, when its lease ends; of another one, when it may be lent again. In the store's steady time.
# received_at among the lent ones: of those that wait, so that the oldest one is found at once.
#
# Who counts: put(), claims and settlements add a whole batch to the counters in one statement, where triggers would be
# one a row. The triggers count everything else, by an operator's command or by somebody's own SQL. What tells them apart:
# put() always sets qos, and a settlement always gives changed_at another value (docs/adr/0007).
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
    changed_at   REAL,
    dead_at      REAL,
    reason       TEXT,
    payload      BLOB NOT NULL,
    CHECK (dead_at IS NULL OR processed = 1)
);
CREATE INDEX {dead} ON {table} (id) WHERE dead_at IS NOT NULL;
CREATE TABLE {lent} (
    id          INTEGER PRIMARY KEY,
    due_at      REAL NOT NULL,
    token       INTEGER,
    received_at REAL,
    CHECK (token IS NOT NULL OR received_at IS NOT NULL)
);
CREATE INDEX {due} ON {lent} (due_at, id);
CREATE INDEX {waiting} ON {lent} (received_at) WHERE token IS NULL;
CREATE TRIGGER {inserted} AFTER INSERT ON {table} WHEN NEW.qos IS NULL BEGIN
    INSERT INTO {lent} (id, due_at, received_at) SELECT NEW.id, 0, NEW.received_at
        WHERE NEW.processed = 0 AND NEW.id <= (SELECT head FROM fmq_queue WHERE name = {name});
    UPDATE fmq_queue SET
        stored  = stored + 1,
        pending = pending + (NEW.processed = 0),
        done    = done + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead + (NEW.dead_at IS NOT NULL)
    WHERE name = {name};
END;
CREATE TRIGGER {updated} AFTER UPDATE OF processed, dead_at ON {table} WHEN NEW.changed_at IS OLD.changed_at BEGIN
    UPDATE fmq_queue SET
        pending = pending - (OLD.processed = 0 AND gone.claims = 0) + (NEW.processed = 0 AND kept.claims = 0),
        claimed = claimed - gone.claims + kept.claims,
        done    = done - (OLD.processed = 1 AND OLD.dead_at IS NULL) + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead - (OLD.dead_at IS NOT NULL) + (NEW.dead_at IS NOT NULL)
    FROM (SELECT count(token) AS claims FROM {lent} WHERE id = OLD.id) AS gone,
        (SELECT count(token) AS claims FROM {lent} WHERE id = NEW.id AND NEW.processed = 0) AS kept
    WHERE name = {name};
    DELETE FROM {lent} WHERE id = NEW.id AND NEW.processed = 1;
    INSERT INTO {lent} (id, due_at, received_at) SELECT NEW.id, 0, NEW.received_at
        WHERE OLD.processed = 1 AND NEW.processed = 0 ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER {forgotten} AFTER DELETE ON {table} WHEN OLD.processed = 1 BEGIN
    UPDATE fmq_queue SET
        done = done - (OLD.dead_at IS NULL),
        dead = dead - (OLD.dead_at IS NOT NULL)
    WHERE name = {name};
END;
CREATE TRIGGER {removed} AFTER DELETE ON {table} WHEN OLD.processed = 0 BEGIN
    UPDATE fmq_queue SET pending = pending - 1 + gone.claims, claimed = claimed - gone.claims
    FROM (SELECT count(token) AS claims FROM {lent} WHERE id = OLD.id) AS gone
    WHERE name = {name};
    DELETE FROM {lent} WHERE id = OLD.id;
END;
"""


def create_queue_table(connection: apsw.Connection, *, queue: str, table: str, clock: Clock) -> None:
    """Make a queue's tables and register it. Within the caller's write transaction."""
    parts = ("dead", "due", "waiting", "inserted", "updated", "forgotten", "removed")
    names = {part: quoted(f"fmq_{table}_{part}") for part in parts}
    connection.execute(
        "INSERT INTO fmq_queue (name, table_name, created_at) VALUES (?, ?, ?)", (queue, table, clock.wall())
    )
    connection.execute(
        _QUEUE_TABLE.format(table=quoted(table), lent=lent_table(table), name=apsw.format_sql_value(queue), **names)
    )


def lent_table(table: str) -> str:
    """The name, quoted, of the table of what was lent from ``table``."""
    return quoted(f"fmq_{table}_lent")


def topic_index(table: str) -> str:
    """The name, quoted, of the index of ordered claims. Only queues that are claimed in order have it and pay for it."""
    return quoted(f"fmq_{table}_topic")


def migrate(connection: apsw.Connection, version: int) -> None:
    """Apply the migrations after ``version`` (0: there is nothing yet). Within the caller's write transaction."""
    done = version - FIRST_VERSION + 1 if version else 0
    for statements in MIGRATIONS[done:]:
        connection.execute(statements)
    connection.pragma("application_id", APPLICATION_ID)
    connection.pragma("user_version", LATEST_VERSION)
