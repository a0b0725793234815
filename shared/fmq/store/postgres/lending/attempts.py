"""Failed attempts at a message: when, why, and by which worker."""

FIRST_KEPT, LAST_KEPT = 5, 15
LAPSED = "the lease ran out before the worker settled the message"


WORKER_DIED = """(failed > 0 AND coalesce((
    SELECT cause = %(cause)s::text FROM fmq_attempt_{q} AS attempt WHERE attempt.id = due.id ORDER BY number DESC LIMIT 1
), false))"""
"""SQL: whether the last attempt at the message ``due`` ended with its worker's death. Not after an operator's requeue."""


def note_attempts(source: str) -> str:
    """SQL that records a failed attempt at each message of ``source`` (id, cause, reason, worker), for a WITH clause.

    Of many attempts, the first and the last ones are kept.
    """
    return (
        "noted AS (INSERT INTO fmq_attempt_{q} (id, number, at, cause, reason, worker) "
        "SELECT id, coalesce((SELECT max(number) FROM fmq_attempt_{q} AS known WHERE known.id = failure.id), 0) + 1, {wall}, "
        f"cause, reason, worker FROM {source} AS failure RETURNING id, number), "
        "trimmed AS (DELETE FROM fmq_attempt_{q} AS known USING noted "
        f"WHERE known.id = noted.id AND known.number = noted.number - {LAST_KEPT} AND known.number > {FIRST_KEPT})"
    )
