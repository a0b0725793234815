"""Failed attempts at a message: when, why, and by which worker."""

from collections.abc import Sequence

from fmq.outcome import REASON_LIMIT, Cause
from fmq.store.records import Attempt
from fmq.store.sqlite.codec import NUMBER, START, as_number, as_text
from fmq.store.sqlite.database import Database

FIRST_KEPT, LAST_KEPT = 5, 15
LAPSED = "the lease ran out before the worker settled the message"


def worker_died(table: str, attempts: str, message_id: str) -> str:
    """SQL: whether the last attempt at a message that waits ended with its worker's death. Not after an operator's requeue."""
    return (
        f"ifnull((SELECT attempt.cause = '{Cause.WORKER_DIED.value}' AND tried.retry_count > 0 FROM {attempts} AS attempt "
        f"JOIN {table} AS tried ON tried.id = attempt.id WHERE attempt.id = {message_id} ORDER BY number DESC LIMIT 1), 0)"
    )


def note_attempt(database: Database, name: str, message_id: int, *, cause: Cause, reason: str, worker: str) -> None:
    """Record a failed attempt. Of many attempts, keep the first and the last ones. Within a write transaction."""
    table = database.attempts(name)
    number = database.rows(
        f"INSERT INTO {table} (id, number, at, cause, reason, worker) "
        f"SELECT ?1, ifnull(max(number), 0) + 1, ?2, ?3, ?4, ?5 FROM {table} WHERE id = ?1 RETURNING number",
        (message_id, database.wall(), cause.value, reason, worker),
    )[0][0]
    if number > FIRST_KEPT + LAST_KEPT:
        database.rows(f"DELETE FROM {table} WHERE id = ? AND number = ?", (message_id, number - LAST_KEPT))


def attempts_at(database: Database, name: str, message_id: int) -> Sequence[Attempt]:
    """See Operating.attempts."""
    with database.read():
        rows = database.rows(
            f"SELECT number, {NUMBER.format('at')}, CAST(cause AS BLOB), {START.format('reason', 4 * REASON_LIMIT)}, "
            f"{START.format('worker', 4 * REASON_LIMIT)} "
            f"FROM {database.attempts(name)} WHERE id = ? ORDER BY number",
            (message_id,),
        )
    return [
        Attempt(number, as_number(at), as_text(cause), as_text(reason), as_text(worker))
        for number, at, cause, reason, worker in rows
    ]
