"""Creates and deletes queues.

A table's name belongs to one queue for as long as the file lives, and so do the ids in it: a deleted queue leaves a note with
both. Other connections know tables by name. They find no table, or the one of the same queue, and never that of another queue.
"""

import json
from contextlib import suppress

from fmq.errors import QueueInUse
from fmq.store.removal import not_empty
from fmq.store.sqlite.codec import as_count, as_text
from fmq.store.sqlite.database import Database
from fmq.store.sqlite.names import quoted, table_name
from fmq.store.sqlite.schema.tables import create_queue_table, drop_queue_table, lent_table

_NOTE = "deleted queue: "
"""The key of a note, with the queue's name. The note is JSON: the name of its table, and the last id."""


def declare(database: Database, name: str) -> None:
    """See Intake.declare."""
    with database.write() as sql:
        if database.has(name):
            return
        former = _former(database)
        used = [row[0] for row in database.rows("SELECT table_name FROM fmq_queue")]
        table, last = former.get(name) or (table_name(name, [*used, *(table for table, _ in former.values())]), 0)
        create_queue_table(sql, queue=name, table=table, clock=database.clock)
        if last:  # https://sqlite.org/autoinc.html: it may be written as any other table
            database.rows("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last))
        database.rows("DELETE FROM fmq_note WHERE key = ?", (_NOTE + name,))


def delete(database: Database, name: str) -> bool:
    """See Operating.delete_queue."""
    with database.write() as sql:
        if not database.has(name):
            return False
        table = database.bare_table(name)
        _require_empty(database, name, table)
        found = database.rows("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
        drop_queue_table(sql, queue=name, table=table)
        database.rows("DELETE FROM fmq_mark WHERE queue = ?", (name,))
        database.set_note(_NOTE + name, json.dumps([table, as_count(found[0][0]) if found else 0]))
    return True


def _require_empty(database: Database, name: str, table: str) -> None:
    """Raise QueueInUse unless all messages are done: by the counters, which say how many are not, and by the rows."""
    pending, claimed, dead = map(as_count, database.of_queue(name, "pending, claimed, dead"))
    waits, died = database.rows(
        f"SELECT EXISTS (SELECT 1 FROM {lent_table(table)}) OR EXISTS (SELECT 1 FROM {quoted(table)} WHERE processed = 0 "
        f"AND id > (SELECT head FROM fmq_queue WHERE name = ?)), EXISTS (SELECT 1 FROM {quoted(table)} WHERE dead_at IS NOT NULL)",
        (name,),
    )[0]
    if pending or claimed or dead or waits or died:
        raise QueueInUse(not_empty(name, pending, claimed, dead))


def _former(database: Database) -> dict[str, tuple[str, int]]:
    """Table and last id of each deleted queue."""
    rows = database.rows(
        "SELECT CAST(substr(key, ?1) AS BLOB), CAST(value AS BLOB) FROM fmq_note WHERE key >= ?2 AND key < ?3",
        (len(_NOTE) + 1, _NOTE, _NOTE[:-1] + chr(ord(_NOTE[-1]) + 1)),
    )
    found = {}
    for name, value in rows:
        with suppress(ValueError, TypeError):  # a note that somebody else has written
            table, last = json.loads(value)
            found[as_text(name)] = (str(table), int(last))
    return found
