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

Whoever else writes into a table is held to the types and ranges that fmq reads: by CHECKs, and in tables of older versions,
which have none, by a trigger on plain INSERTs. Rows are read as if neither existed (see fmq.sqlite.codec).
"""

from collections.abc import Callable

import apsw

from fmq.clock import Clock
from fmq.message import LATEST_MOMENT
from fmq.sqlite.codec import MOST_RETRIES
from fmq.sqlite.names import quoted

APPLICATION_ID = 0x464D5131  # "FMQ1"
FIRST_VERSION = 2
"""The schema of the first release: what ``MIGRATIONS[0]`` makes."""

ONE_MORE = f"retry_count = min(retry_count + 1, {MOST_RETRIES})"
"""What counts an attempt, whatever number somebody has set by hand."""
_LAST_ID = 2**62
"""The largest id that a plain INSERT may give: with 2**63 - 1 in the table, SQLite has none left for the next message."""


def _know_order_and_ages(connection: apsw.Connection) -> None:
    """Add a queue's mode and the marks of retention; hold plain INSERTs into existing tables to the right types."""
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
    for name, table in connection.execute("SELECT name, table_name FROM fmq_queue").fetchall():
        names = _names(str(name), str(table))
        connection.execute("DROP TRIGGER {inserted}".format(**names))
        connection.execute(_INSERTED.format(**names))


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
    # 5: whether a queue is claimed in order (NULL: nobody has claimed yet), and up to which id messages came before a moment
    # of the store's time
    _know_order_and_ages,
)
LATEST_VERSION = FIRST_VERSION + len(MIGRATIONS) - 1

# payload stands last, so that reading any other column of a large message does not walk through its pages.
# changed_at: when the message was received, and then when it was settled, in the store's time: the wall clock may have been
# wrong at either moment (docs/adr/0019). It is there from the start, so that settling keeps the row's size: SQLite then
# writes the changed bytes only, and the payload stays where it is.
# reason: why the last attempt failed. dead_at: only on dead letters.
# due_at: of a claim, when its lease ends; of another one, when it may be lent again. In the store's steady time.
# received_at among the lent ones: of those that wait, so that the oldest one is found at once.
#
# Who counts: put(), claims and settlements add a whole batch to the counters in one statement, where triggers would be
# one a row. The triggers count everything else, by an operator's command or by somebody's own SQL. What tells them apart:
# put() always sets qos, and a settlement always gives changed_at another value (docs/adr/0007).
#
# CHECKs are paid for at every put, so they stand only where a wrong value would be told too late: the rest is read as well
# as it can be.
_INSERTED = """
CREATE TRIGGER {inserted} AFTER INSERT ON {table} WHEN NEW.qos IS NULL BEGIN
    SELECT RAISE(ABORT, 'topic is not text') WHERE typeof(NEW.topic) <> 'text';
    SELECT RAISE(ABORT, 'received_at is not a time in Unix seconds')
        WHERE NEW.received_at < 0 OR NEW.received_at >= {latest};
    SELECT RAISE(ABORT, 'retry_count is not a count') WHERE NEW.retry_count NOT BETWEEN 0 AND {retries};
    SELECT RAISE(ABORT, 'id leaves no room for later ones') WHERE NEW.id > {last_id};
    INSERT INTO {lent} (id, due_at, received_at) SELECT NEW.id, 0, NEW.received_at
        WHERE NEW.processed = 0 AND NEW.id <= (SELECT head FROM fmq_queue WHERE name = {name});
    UPDATE fmq_queue SET
        stored  = stored + 1,
        pending = pending + (NEW.processed = 0),
        done    = done + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead + (NEW.dead_at IS NOT NULL)
    WHERE name = {name};
END;
"""
_QUEUE_TABLE = """
CREATE TABLE {table} (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    topic        TEXT NOT NULL,
    received_at  REAL NOT NULL,
    processed    INTEGER NOT NULL DEFAULT 0 CHECK (processed IN (0, 1)),
    retry_count  INTEGER NOT NULL DEFAULT 0,
    qos          INTEGER CHECK (qos BETWEEN 0 AND 2),
    retain       INTEGER NOT NULL DEFAULT 0 CHECK (retain IN (0, 1)),
    properties   TEXT,
    changed_at   REAL,
    dead_at      REAL,
    reason       TEXT,
    payload      BLOB NOT NULL,
    CHECK (dead_at IS NULL OR processed = 1),
    -- A text or a blob is larger than every number.
    CONSTRAINT "topic is not text" CHECK (typeof(topic) = 'text'),
    CONSTRAINT "received_at is not a time in Unix seconds" CHECK (received_at >= 0 AND received_at < {latest}),
    CONSTRAINT "retry_count is not a count" CHECK (retry_count BETWEEN 0 AND {retries})
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
    connection.execute(
        "INSERT INTO fmq_queue (name, table_name, created_at) VALUES (?, ?, ?)", (queue, table, clock.wall())
    )
    for statements in (_QUEUE_TABLE, _INSERTED):
        connection.execute(statements.format(**_names(queue, table)))


def make_ordered(connection: apsw.Connection, table: str) -> None:
    """Make what ordered claims look into. Within the caller's write transaction, whose commit comes before its use."""
    for statement in (
        "CREATE INDEX IF NOT EXISTS {topic} ON {table} (topic, id) WHERE processed = 0",
        "CREATE INDEX IF NOT EXISTS {out} ON {lent} (id) WHERE token IS NOT NULL",
    ):
        connection.execute(statement.format(**_names("", table)))


def make_unordered(connection: apsw.Connection, table: str) -> None:
    """Drop what only ordered claims need, and every change pays for. Within the caller's write transaction."""
    for index in (topic_index(table), claims_index(table)):
        connection.execute(f"DROP INDEX IF EXISTS {index}")


def _names(queue: str, table: str) -> dict[str, object]:
    parts = ("dead", "due", "waiting", "inserted", "updated", "forgotten", "removed")
    return {
        "table": quoted(table),
        "lent": lent_table(table),
        "topic": topic_index(table),
        "out": claims_index(table),
        "name": apsw.format_sql_value(queue),
        "latest": LATEST_MOMENT,
        "retries": MOST_RETRIES,
        "last_id": _LAST_ID,
        **{part: quoted(f"fmq_{table}_{part}") for part in parts},
    }


def lent_table(table: str) -> str:
    """The name, quoted, of the table of what was lent from ``table``."""
    return quoted(f"fmq_{table}_lent")


def topic_index(table: str) -> str:
    """The name, quoted, of the index of ordered claims. Only queues that are claimed in order have it and pay for it."""
    return quoted(f"fmq_{table}_topic")


def claims_index(table: str) -> str:
    """The name, quoted, of the index of what is out: ordered claims look there for the topics to leave alone."""
    return quoted(f"fmq_{table}_out")


def migrate(connection: apsw.Connection, version: int) -> None:
    """Apply the migrations after ``version`` (0: there is nothing yet). Within the caller's write transaction."""
    done = version - FIRST_VERSION + 1 if version else 0
    for step in MIGRATIONS[done:]:
        if isinstance(step, str):
            connection.execute(step)
        else:
            step(connection)
    connection.pragma("application_id", APPLICATION_ID)
    connection.pragma("user_version", LATEST_VERSION)
