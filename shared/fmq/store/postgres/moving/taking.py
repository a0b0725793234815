"""Reads messages with all that the store keeps of them, and deletes them."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from fmq.errors import QueueError
from fmq.message import Receipt
from fmq.store.keys import digest
from fmq.store.postgres.choosing import ALL, THESE
from fmq.store.postgres.codec import MESSAGE_COLUMNS, decode_message
from fmq.store.postgres.queues import Queues
from fmq.store.postgres.server.session import Ask, Rows
from fmq.store.postgres.statements import counting, statement
from fmq.store.records import Attempt, StoredMessage
from fmq.store.selection import State

NO_LIMIT = 2**62
# Long values are read only of the messages that fit.
_SIZES = f"SELECT message.id, message.size FROM fmq_msg_{{q}} AS message WHERE {THESE} ORDER BY message.id"
_STORED = f"""
    SELECT done.at, dead.at, due.token, CASE WHEN due.parked IS NOT NULL THEN message.stored_at WHEN due.token IS NULL THEN due.due_at ELSE due.leased END, message.stored_at, coalesce(due.reason, dead.reason, ''),
        coalesce(due.failed, done.failed, dead.failed, 0), {MESSAGE_COLUMNS}
    FROM {ALL} WHERE {THESE} ORDER BY message.id
"""
_ATTEMPTS = (
    f"SELECT id, number, at, cause, reason, worker FROM fmq_attempt_{{q}} AS message WHERE {THESE} ORDER BY id, number"
)
# Locked, so that nobody claims, requeues or deletes them. What another has locked is in its hands.
_LOCK = f"SELECT id FROM {{table}} AS message WHERE {THESE} {{and}} ORDER BY id FOR UPDATE SKIP LOCKED"
_FREE = {
    State.PENDING: _LOCK.replace("{table}", "fmq_due_{q}").replace("{and}", "AND token IS NULL"),
    State.CLAIMED: _LOCK.replace("{table}", "fmq_due_{q}").replace(
        "{and}", "AND token IS NOT NULL AND leased <= {now}"
    ),
    State.DONE: _LOCK.replace("{table}", "fmq_done_{q}").replace("{and}", ""),
    State.DEAD: _LOCK.replace("{table}", "fmq_dead_{q}").replace("{and}", ""),
}
_TABLE = {
    State.PENDING: "fmq_due_{q}",
    State.CLAIMED: "fmq_due_{q}",
    State.DONE: "fmq_done_{q}",
    State.DEAD: "fmq_dead_{q}",
}
_DELETE = (
    f"""
    WITH gone AS (DELETE FROM {{table}} AS message WHERE {THESE} RETURNING id),
    attempts AS (DELETE FROM fmq_attempt_{{q}} AS attempt USING gone WHERE attempt.id = gone.id),
    messages AS (DELETE FROM fmq_msg_{{q}} AS message USING gone WHERE message.id = gone.id),
    """
    + counting("{counter}=-count(*)", "gone")
    + " SELECT count(*) FROM gone"
)
LAST_RECEIPT = b"SELECT coalesce(max(number), 0) FROM fmq_receipt WHERE session = %(session)s"
NEW_RECEIPT = b"""
    INSERT INTO fmq_receipt (session, number, data) VALUES (%(session)s, %(number)s, %(data)b)
    ON CONFLICT (session, number) DO NOTHING RETURNING 1
"""
OLD_RECEIPTS = b"DELETE FROM fmq_receipt WHERE session = %(session)s AND number < %(first_kept)s"


class Taking:
    """The taking half of the role Moving."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues

    def stored(self, name: str, ids: Sequence[int], most_bytes: int | None) -> Sequence[StoredMessage]:
        """See Moving.stored."""
        number = self._queues.number(name)
        return self._queues.session.interactive(
            lambda ask: self._read(ask, name, number, _first(ask, number, ids, most_bytes))
        )

    def take(
        self,
        name: str,
        ids: Sequence[int],
        state: State,
        most_bytes: int,
        keep: Callable[[Sequence[StoredMessage]], Receipt],
    ) -> Sequence[StoredMessage]:
        """See Moving.take."""
        number = self._queues.number(name)

        def work(ask: Ask) -> Sequence[StoredMessage]:
            free = [row[0] for row in ask(statement(_FREE[state], number), {"ids": list(ids)})]
            chosen = _first(ask, number, free, most_bytes)
            found = self._read(ask, name, number, chosen)
            if found:
                receipt = keep(found)
                values = {**receipt._asdict(), "session": digest(receipt.session)}
                if ask(LAST_RECEIPT, values)[0][0] != receipt.number - 1 or not ask(NEW_RECEIPT, values):
                    raise QueueError(f"{receipt.session}: another one is at work on {self._queues.session.target.name}")
                ask(OLD_RECEIPTS, values)
                template = _DELETE.replace("{table}", _TABLE[state]).replace("{counter}", state.value)
                ask(statement(template, number), self._queues.values({"ids": list(chosen)}))
            return found

        return self._queues.session.interactive(work)

    def _read(self, ask: Ask, name: str, number: int, ids: Sequence[int]) -> Sequence[StoredMessage]:
        values = {"ids": list(ids)}
        shift = self._queues.session.moment().shift
        rows: Rows = ask(statement(_STORED, number), values) if ids else []
        attempts: dict[int, list[Attempt]] = defaultdict(list)
        for row in ask(statement(_ATTEMPTS, number), values) if ids else ():
            attempts[row[0]].append(Attempt(*row[1:]))
        return [
            StoredMessage(
                decode_message(name, row[7:], row[6]), attempts=attempts[row[7]], **_where(*row[:6], shift=shift)
            )
            for row in rows
        ]


def _first(ask: Ask, number: int, ids: Sequence[int], most_bytes: int | None) -> Sequence[int]:
    """The first ids whose messages together hold at most ``most_bytes``, and at least one."""
    if most_bytes is None or not ids:
        return ids
    chosen: list[int] = []
    for id_, size in ask(statement(_SIZES, number), {"ids": list(ids)}):
        most_bytes -= size
        if chosen and most_bytes < 0:
            break
        chosen.append(id_)
    return chosen


def _where(
    done_at: float | None,
    dead_at: float | None,
    token: int | None,
    due_at: float | None,
    stored_at: float,
    reason: str,
    *,
    shift: float,
) -> dict[str, Any]:
    """State, times and reason of a message."""
    if dead_at is not None:
        return {"state": State.DEAD, "settled_at": dead_at + shift, "reason": reason}
    if done_at is not None:
        return {"state": State.DONE, "settled_at": done_at + shift}
    state = State.PENDING if token is None else State.CLAIMED
    due = stored_at if due_at is None else due_at
    return {"state": state, "stored_at": stored_at + shift, "due_at": due + shift, "reason": reason}
