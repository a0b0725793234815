"""Creates and deletes queues.

A number belongs to one queue for as long as the store lives, and so do the ids of its messages: a deleted queue leaves a note with
its number, and its sequence. Other sessions know tables by their numbers. They find no table, or the one of the same queue.
"""

from fmq.errors import QueueInUse
from fmq.store.keys import digest
from fmq.store.postgres.codec import storable
from fmq.store.postgres.queues import LOCK, SCHEMA_LOCK, Queues
from fmq.store.postgres.schema.tables import drop_queue_tables, lock_queue_tables, queue_tables
from fmq.store.postgres.server.session import Ask
from fmq.store.postgres.statements import statement
from fmq.store.removal import not_empty

_NOTE = "deleted queue: "
"""The key of a note, with the queue's name. Its value is the number."""
_FORMER = b"DELETE FROM fmq_note WHERE digest = %(note)s RETURNING value"
_INSERT = statement(
    "INSERT INTO fmq_queue (name, digest, created_at) VALUES (%(name)s, %(digest)s, {wall}) "
    "ON CONFLICT DO NOTHING RETURNING number"
)
_INSERT_AGAIN = statement(
    "INSERT INTO fmq_queue (number, name, digest, created_at) OVERRIDING SYSTEM VALUE "
    "VALUES (%(number)s, %(name)s, %(digest)s, {wall})"
)
_NUMBER = b"SELECT number FROM fmq_queue WHERE digest = %(digest)s"
# By the counters, which say how many there are, and by the rows.
_UNSETTLED = """
    SELECT sum(pending)::bigint, sum(claimed)::bigint, sum(dead)::bigint,
        EXISTS (SELECT 1 FROM fmq_due_{q}) OR EXISTS (SELECT 1 FROM fmq_dead_{q})
    FROM fmq_count WHERE queue = {q}
"""
_UNREGISTER = b"DELETE FROM fmq_queue WHERE number = %(number)s"
_FORGET_COUNTERS = b"DELETE FROM fmq_count WHERE queue = %(number)s"
_LEAVE_NOTE = b"""
    INSERT INTO fmq_note (digest, key, value) VALUES (%(note)s, %(key)s, %(number)s::bigint::text)
    ON CONFLICT (digest) DO UPDATE SET value = excluded.value
"""


def declare(queues: Queues, name: str) -> None:
    """See Intake.declare."""
    if not queues.has(name):
        queues.session.interactive(lambda ask: _create(ask, name))


def _create(ask: Ask, name: str) -> None:
    # CREATE … IF NOT EXISTS does not keep two sessions from creating the same table.
    ask(statement(LOCK, SCHEMA_LOCK), {})
    values = {"name": storable(name), "digest": digest(name), "note": digest(_NOTE + name)}
    former = ask(_FORMER, values)
    if former:
        number = int(former[0][0])
        ask(_INSERT_AGAIN, {**values, "number": number})
    else:
        found = ask(_INSERT, values)
        if not found:
            return
        number = int(found[0][0])
    ask(queue_tables(number), None)


def delete(queues: Queues, name: str) -> bool:
    """See Operating.delete_queue."""
    return queues.session.interactive(lambda ask: _drop(ask, name))


def _drop(ask: Ask, name: str) -> bool:
    ask(statement(LOCK, SCHEMA_LOCK), {})
    found = ask(_NUMBER, {"digest": digest(name)})
    if not found:
        return False
    number = int(found[0][0])
    # Claims take the queue's lock before any table, so they wait for it and not in a deadlock. A session that waits for a table
    # finds none after the commit, and its transaction fails as a whole.
    ask(statement(LOCK, number), {})
    ask(lock_queue_tables(number), None)
    pending, claimed, dead, is_used = ask(statement(_UNSETTLED, number), {})[0]
    if is_used or pending or claimed or dead:
        raise QueueInUse(not_empty(name, pending, claimed, dead))
    ask(drop_queue_tables(number), None)
    ask(_FORGET_COUNTERS, {"number": number})
    ask(_UNREGISTER, {"number": number})
    key = _NOTE + name
    ask(_LEAVE_NOTE, {"note": digest(key), "key": storable(key), "number": number})
    return True
