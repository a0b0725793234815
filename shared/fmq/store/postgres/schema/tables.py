"""The tables of a queue.

Each queue has its own: what is large is written once and never updated, what changes is narrow. Every message is in ``msg`` and
in exactly one of the others:

* ``msg``: the message as it came. Its payload is stored uncompressed, so that a part can be read without the rest.
* ``due``: a row for each unsettled message, which may be lent from ``due_at``. It is a claim if it has a ``token``; ``leased`` is
  then the end of its lease. No index has these two, and half of each page is left free, so that a claim stays on its page and
  changes no index (PostgreSQL's documentation, "Heap-Only Tuples"). ``settled`` is the token of the last settlement.
  ``parked`` names the route of a processor that may have the message before ``due_at``. ``topic`` is
  short enough for an index.
* ``done`` and ``dead``: what is settled, when (``at``, in the store's time) and with which token.
* ``attempt``: failed attempts, the first and the last ones of each message.

Functions in the database create and drop them (fmq.store.postgres.schema.migrations). Indexes for ordered claims exist only on
queues that are claimed in order, since every change pays for them.
"""

from fmq.store.postgres.statements import statement

_TABLES = "fmq_msg_{q}, fmq_due_{q}, fmq_done_{q}, fmq_dead_{q}, fmq_attempt_{q}"
_LOCK = f"LOCK TABLE {_TABLES} IN ACCESS EXCLUSIVE MODE"
_CREATE = "SELECT fmq_create_queue({q})"
_DROP = "SELECT fmq_drop_queue({q})"
_ORDERED = """
CREATE INDEX IF NOT EXISTS fmq_due_{q}_topic ON fmq_due_{q} (topic, id);
CREATE INDEX IF NOT EXISTS fmq_due_{q}_out ON fmq_due_{q} (topic) WHERE token IS NOT NULL;
"""
_UNORDERED = """
DROP INDEX IF EXISTS fmq_due_{q}_topic;
DROP INDEX IF EXISTS fmq_due_{q}_out;
"""


def queue_tables(number: int) -> bytes:
    """The statement that creates the tables of the queue ``number``."""
    return statement(_CREATE, number)


def lock_queue_tables(number: int) -> bytes:
    """The statement that waits until nobody uses the tables of the queue ``number``, and keeps others out."""
    return statement(_LOCK, number)


def drop_queue_tables(number: int) -> bytes:
    """The statement that drops the tables of the queue ``number``. Its sequence stays, so that ids go on."""
    return statement(_DROP, number)


def ordered_indexes(number: int, *, ordered: bool) -> bytes:
    """The statements that create or drop the indexes of ordered claims. To be committed before a claim uses them."""
    return statement(_ORDERED if ordered else _UNORDERED, number)
