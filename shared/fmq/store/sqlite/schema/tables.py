"""The tables of a queue, its triggers and indexes.

A queue's table has the guide's columns (``id``, ``topic``, ``payload``, ``received_at``, ``processed``, ``retry_count``), so
that its statements run unchanged. Two smaller tables belong to it:

* What was lent and is not settled. A queue is worked off in the order of its ids, so a message that was never lent needs
  neither a mark nor an index: it has an id above ``head``, the last id that was lent in turn (docs/adr/0011). Always: a message
  with ``processed = 0`` and an id up to ``head`` has a row among the lent ones; one above ``head`` may have one (ordered
  claims take messages from anywhere); no message with ``processed = 1`` has one. A row is a claim if it has a ``token``;
  otherwise its message waits to be lent again at ``due_at``. ``parked`` names the route of a processor that may have it sooner.
* The failed attempts of its messages: the first ones and the last ones.

Other programs that write into a table are held to the types and ranges that fmq reads: by CHECKs, and in tables of older
versions, which have none, by a trigger on plain INSERTs. Rows are read as if neither existed (see fmq.store.sqlite.codec).
"""

import apsw

from fmq.clock import Clock
from fmq.message import LATEST_MOMENT
from fmq.store.sqlite.codec import MOST_RETRIES
from fmq.store.sqlite.names import quoted

ONE_MORE = f"retry_count = min(retry_count + 1, {MOST_RETRIES})"
"""Counts an attempt, whatever number somebody has set by hand."""
_LAST_ID = 2**62
"""The largest id that a plain INSERT may give: with 2**63 - 1 in the table, SQLite has none left for the next message."""


# payload is the last column, so that reading any other column of a large message does not walk through its pages.
# changed_at: when the message was received, later when it was settled, in the store's time, since the wall clock may have been
# wrong (docs/adr/0019). It is set from the start, so that settling keeps the row's size: SQLite then writes only the changed
# bytes, and the payload stays where it is.
# reason: why the last attempt failed. dead_at: only on dead letters.
# due_at: when the lease of a claim ends, or when a waiting message may be lent again, in the store's steady time.
# received_at of lent messages: set while they wait, so that the oldest one is found at once.
#
# Counters: put(), claims and settlements add a whole batch in one statement, where triggers would run once per row. The
# triggers count everything else: an operator's command, or SQL from outside fmq. They recognise their cases: put() always sets
# qos, and a settlement always changes changed_at (docs/adr/0007).
#
# Every put pays for CHECKs, so they exist only where a wrong value would be noticed too late. Other values are read as well as
# possible.
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
    received_at REAL, parked TEXT,
    CHECK (token IS NOT NULL OR received_at IS NOT NULL)
);
CREATE INDEX {due} ON {lent} (due_at, id);
CREATE INDEX {waiting} ON {lent} (received_at) WHERE token IS NULL;
"""
_TRIGGER_NAMES = ("inserted", "updated", "forgotten", "removed")
_ATTEMPTS = """
CREATE TABLE {attempts} (
    id     INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at     REAL NOT NULL,
    cause  TEXT NOT NULL,
    reason TEXT NOT NULL,
    worker TEXT NOT NULL,
    PRIMARY KEY (id, number)
) WITHOUT ROWID;
CREATE INDEX {died} ON {table} (dead_at, id) WHERE dead_at IS NOT NULL;
"""
"""What schema 6 gave each queue: failed attempts, and dead letters by the time of their death."""
_PARKED = "ALTER TABLE {lent} ADD COLUMN parked TEXT"
_PARKED_INDEX = """
CREATE INDEX {parked} ON {lent} (parked, id) WHERE parked IS NOT NULL;
"""
"""What schema 7 gave each queue: waiting messages that are set aside for a route of a processor. New tables have the column from
the start: SQLite reads the whole schema again for an ALTER TABLE."""
_TRIGGERS = """
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
        dead    = dead + (NEW.dead_at IS NOT NULL),
        handled = handled + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        died    = died + (NEW.dead_at IS NOT NULL)
    WHERE name = {name};
END;
CREATE TRIGGER {updated} AFTER UPDATE OF processed, dead_at ON {table} WHEN NEW.changed_at IS OLD.changed_at BEGIN
    UPDATE fmq_queue SET
        pending = pending - (OLD.processed = 0 AND gone.claims = 0) + (NEW.processed = 0 AND kept.claims = 0),
        claimed = claimed - gone.claims + kept.claims,
        done    = done - (OLD.processed = 1 AND OLD.dead_at IS NULL) + (NEW.processed = 1 AND NEW.dead_at IS NULL),
        dead    = dead - (OLD.dead_at IS NOT NULL) + (NEW.dead_at IS NOT NULL),
        handled = handled + (NEW.processed = 1 AND NEW.dead_at IS NULL AND (OLD.processed = 0 OR OLD.dead_at IS NOT NULL)),
        died    = died + (NEW.dead_at IS NOT NULL AND OLD.dead_at IS NULL)
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
    DELETE FROM {attempts} WHERE id = OLD.id;
END;
CREATE TRIGGER {removed} AFTER DELETE ON {table} WHEN OLD.processed = 0 BEGIN
    UPDATE fmq_queue SET pending = pending - 1 + gone.claims, claimed = claimed - gone.claims
    FROM (SELECT count(token) AS claims FROM {lent} WHERE id = OLD.id) AS gone
    WHERE name = {name};
    DELETE FROM {lent} WHERE id = OLD.id;
    DELETE FROM {attempts} WHERE id = OLD.id;
END;
"""


def create_queue_table(connection: apsw.Connection, *, queue: str, table: str, clock: Clock) -> None:
    """Create a queue's tables and register it. Within the caller's write transaction."""
    connection.execute(
        "INSERT INTO fmq_queue (name, table_name, created_at) VALUES (?, ?, ?)", (queue, table, clock.wall())
    )
    connection.execute(_QUEUE_TABLE.format(**_names(queue, table)))
    add_attempts(connection, table)
    connection.execute(_PARKED_INDEX.format(**_names("", table)))
    make_triggers(connection, queue=queue, table=table)


def drop_queue_table(connection: apsw.Connection, *, queue: str, table: str) -> None:
    """Delete a queue's tables and its registration. Within the caller's write transaction."""
    for one in (quoted(table), lent_table(table), attempts_table(table)):
        connection.execute(f"DROP TABLE {one}")
    connection.execute("DELETE FROM fmq_queue WHERE name = ?", (queue,))


def add_attempts(connection: apsw.Connection, table: str) -> None:
    """Create what a queue of schema 5 lacks. Within the caller's write transaction."""
    connection.execute(_ATTEMPTS.format(**_names("", table)))


def add_parking(connection: apsw.Connection, table: str) -> None:
    """Create what a queue of schema 6 lacks. Within the caller's write transaction."""
    for statement in (_PARKED, _PARKED_INDEX):
        connection.execute(statement.format(**_names("", table)))


def make_triggers(connection: apsw.Connection, *, queue: str, table: str) -> None:
    """Replace a queue's triggers by those of this version. Within the caller's write transaction."""
    names = _names(queue, table)
    for trigger in _TRIGGER_NAMES:
        connection.execute(f"DROP TRIGGER IF EXISTS {names[trigger]}")
    connection.execute(_TRIGGERS.format(**names))


def make_ordered(connection: apsw.Connection, table: str) -> None:
    """Create the indexes of ordered claims. Within the caller's write transaction, which commits before they are used."""
    for statement in (
        "CREATE INDEX IF NOT EXISTS {topic} ON {table} (topic, id) WHERE processed = 0",
        "CREATE INDEX IF NOT EXISTS {out} ON {lent} (id) WHERE token IS NOT NULL",
    ):
        connection.execute(statement.format(**_names("", table)))


def make_unordered(connection: apsw.Connection, table: str) -> None:
    """Drop the indexes of ordered claims, for which every change pays. Within the caller's write transaction."""
    for index in (topic_index(table), claims_index(table)):
        connection.execute(f"DROP INDEX IF EXISTS {index}")


def _names(queue: str, table: str) -> dict[str, object]:
    return {
        "table": quoted(table),
        "lent": lent_table(table),
        "topic": topic_index(table),
        "out": claims_index(table),
        "name": apsw.format_sql_value(queue),
        "latest": LATEST_MOMENT,
        "retries": MOST_RETRIES,
        "last_id": _LAST_ID,
        "attempts": attempts_table(table),
        **{
            part: quoted(f"fmq_{table}_{part}")
            for part in ("dead", "died", "due", "waiting", "parked", *_TRIGGER_NAMES)
        },
    }


def lent_table(table: str) -> str:
    """The quoted name of the table of messages lent from ``table``."""
    return quoted(f"fmq_{table}_lent")


def attempts_table(table: str) -> str:
    """The quoted name of the table of failed attempts at messages in ``table``."""
    return quoted(f"fmq_{table}_attempts")


def topic_index(table: str) -> str:
    """The quoted name of the index of ordered claims. Only queues that are claimed in order have it and pay for it."""
    return quoted(f"fmq_{table}_topic")


def claims_index(table: str) -> str:
    """The quoted name of the index of claims, where ordered claims find the busy topics."""
    return quoted(f"fmq_{table}_out")
