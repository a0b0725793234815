"""Finds, requeues and purges messages and pauses queues, in bounded steps."""

from collections.abc import Mapping, Sequence

from fmq.message import DeadLetter, Message, MessageId, Pause, Waiting
from fmq.store.postgres.choosing import ALL, THESE, WALKED, fitting
from fmq.store.postgres.codec import MESSAGE_COLUMNS, decode_message, decode_pause, storable
from fmq.store.postgres.part import Part
from fmq.store.postgres.queues import LOCK
from fmq.store.postgres.statements import NOTIFY, counting, statement
from fmq.store.selection import Found, Selection, State

_AT_ONCE = 500
"""How many topics are in memory at once: each may have 65,535 bytes."""
_NO_LIMIT = 2**62
_FAILED = "coalesce(due.failed, done.failed, dead.failed, 0)"
# Long values are read only of the messages that fit.
_FIRST = """
    first AS (
        SELECT id FROM (
            SELECT id, row_number() OVER (ORDER BY id) AS place, sum(size) OVER (ORDER BY id) AS held FROM chosen
        ) AS sized WHERE place = 1 OR held <= %(most_bytes)s
    )
"""
_MESSAGES = (
    f"WITH chosen AS (SELECT id, size FROM fmq_msg_{{q}} AS message WHERE {THESE}), {_FIRST} "
    f"SELECT {_FAILED}, {MESSAGE_COLUMNS} FROM first JOIN ({ALL}) ON message.id = first.id ORDER BY message.id"
)
_DEAD_LETTERS = (
    "WITH chosen AS (SELECT dead.id, message.size FROM fmq_dead_{q} AS dead JOIN fmq_msg_{q} AS message ON message.id = dead.id "
    f"WHERE dead.id > %(after)s AND (%(all)s OR {THESE}) ORDER BY dead.id LIMIT %(limit)s), {_FIRST} "
    f"SELECT dead.at + %(shift)s, dead.reason, dead.failed, {MESSAGE_COLUMNS} FROM first "
    "JOIN fmq_dead_{q} AS dead ON dead.id = first.id JOIN fmq_msg_{q} AS message ON message.id = first.id ORDER BY message.id"
)
_WAITING = f"""
    SELECT message.id, CASE WHEN due.parked IS NULL THEN greatest(due.due_at - {{now}}, 0) ELSE 0 END::float8, coalesce(due.reason, '')
    FROM fmq_due_{{q}} AS due JOIN fmq_msg_{{q}} AS message ON message.id = due.id WHERE {THESE} AND due.token IS NULL
"""
_NEXT_RETRY = (
    "SELECT id FROM fmq_due_{q} WHERE due_at > {now} AND token IS NULL AND parked IS NULL ORDER BY due_at, id LIMIT 1"
)
_WALK = "SELECT id FROM {table} WHERE id > %(after)s ORDER BY id LIMIT %(within)s"
# Rows are locked by id, so that two operators who requeue the same ones wait for each other only once.
_CHOSEN = """
    WITH chosen AS (
        SELECT id FROM {table} AS message WHERE %(all)s OR message.id = ANY (%(ids)b::bigint[]) ORDER BY id LIMIT %(limit)s
        FOR UPDATE
    ),
    gone AS (DELETE FROM {table} AS settled USING chosen WHERE settled.id = chosen.id RETURNING settled.id),
"""
_REQUEUE = """
    again AS (
        INSERT INTO fmq_due_{q} (id, due_at, size, topic)
        SELECT message.id, {now}, size, {short} FROM gone JOIN fmq_msg_{q} AS message ON message.id = gone.id
    ),
"""
_PURGE = """
    attempts AS (DELETE FROM fmq_attempt_{q} AS attempt USING gone WHERE attempt.id = gone.id),
    messages AS (DELETE FROM fmq_msg_{q} AS message USING gone WHERE message.id = gone.id),
"""
_COUNT = " SELECT count(*) FROM gone"
# The state of a message may change while its row is waited for; it is looked at again then.
_DELETE = """
    WITH waiting AS (
        DELETE FROM fmq_due_{q} AS message
        WHERE %(waiting)s AND message.id = ANY (%(ids)b::bigint[]) AND token IS NULL AND (%(due)s OR (due_at > {now} AND parked IS NULL)) RETURNING id
    ),
    done AS (DELETE FROM fmq_done_{q} AS message WHERE %(done)s AND message.id = ANY (%(ids)b::bigint[]) RETURNING id),
    dead AS (DELETE FROM fmq_dead_{q} AS message WHERE %(dead)s AND message.id = ANY (%(ids)b::bigint[]) RETURNING id),
    gone AS (
        SELECT id, 'pending' AS state FROM waiting UNION ALL SELECT id, 'done' FROM done UNION ALL SELECT id, 'dead' FROM dead
    ),
"""
_DELETED = counting(
    "; ".join(f"{one}=-count(*) FILTER (WHERE state = '{one}')" for one in ("pending", "done", "dead")), "gone"
)
_SET = " RETURNING 1) SELECT EXISTS (SELECT 1 FROM changed) FROM fmq_queue WHERE number = {q}"
_PAUSE = (
    "WITH changed AS (UPDATE fmq_queue SET paused_at = {wall}, paused_reason = %(reason)s "
    "WHERE number = {q} AND paused_at IS NULL" + _SET
)
_RESUME = (
    "WITH changed AS (UPDATE fmq_queue SET paused_at = NULL, paused_reason = NULL "
    "WHERE number = {q} AND paused_at IS NOT NULL" + _SET
)
_PAUSED = "SELECT paused_at, paused_reason FROM fmq_queue WHERE number = {q}"


class OperatingPart(Part):
    """The role Operating, without reading for pages and the order of a queue."""

    def find(
        self,
        name: str,
        which: Selection,
        *,
        after_id: MessageId | None = None,
        limit: int = 1_000,
        within: int = 10_000,
    ) -> Found:
        if which.everything:
            within = min(within, limit)
        walk = _WALK.replace("{table}", WALKED[which.state])
        ids = [row[0] for row in self._queues.rows(walk, name, {"after": after_id or 0, "within": within})]
        found: list[int] = []
        looked_at = 0
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            fit = fitting(self._queues, name, which, some)
            for position, number in enumerate(some, start + 1):
                if number in fit:
                    if len(found) == limit:
                        return Found(found, looked_at, found[-1])
                    found.append(number)
                    looked_at = position
        is_end = len(ids) < within or which.is_beyond(ids[-1])
        return Found(found, len(ids), None if is_end else ids[-1])

    def messages(self, name: str, ids: Sequence[MessageId], *, most_bytes: int | None = None) -> Sequence[Message]:
        values = {"ids": list(ids), "most_bytes": _NO_LIMIT if most_bytes is None else most_bytes}
        return [decode_message(name, row[1:], row[0]) for row in self._queues.rows(_MESSAGES, name, values)]

    def waiting(self, name: str, ids: Sequence[MessageId]) -> Mapping[MessageId, Waiting]:
        rows = self._queues.rows(_WAITING, name, {"ids": list(ids)})
        return {number: Waiting(due_in, reason) for number, due_in, reason in rows}

    def next_retry(self, name: str) -> MessageId | None:
        rows = self._queues.rows(_NEXT_RETRY, name)
        return int(rows[0][0]) if rows else None

    def dead_letters(
        self,
        name: str,
        ids: Sequence[MessageId] | None = None,
        *,
        limit: int = 100,
        after_id: MessageId | None = None,
        most_bytes: int | None = None,
    ) -> Sequence[DeadLetter]:
        values = {
            "all": ids is None,
            "ids": list(ids or ()),
            "after": after_id or 0,
            "limit": limit,
            "most_bytes": _NO_LIMIT if most_bytes is None else most_bytes,
            "shift": self._session.moment().shift,
        }
        return [
            DeadLetter(decode_message(name, row[3:], row[2]), row[0], row[1])
            for row in self._queues.rows(_DEAD_LETTERS, name, values)
        ]

    def requeue_dead(self, name: str, ids: Sequence[MessageId] | None = None, *, limit: int = 1_000) -> int:
        return self._change(
            _REQUEUE + counting("dead=-count(*); pending=count(*)", "gone"), State.DEAD, name, ids, limit
        )

    def requeue_done(self, name: str, ids: Sequence[MessageId]) -> int:
        change = _REQUEUE + counting("done=-count(*); pending=count(*)", "gone")
        return self._change(change, State.DONE, name, ids, len(ids))

    def purge_dead(self, name: str, ids: Sequence[MessageId] | None = None, *, limit: int = 1_000) -> int:
        return self._change(_PURGE + counting("dead=-count(*)", "gone"), State.DEAD, name, ids, limit)

    def delete_messages(self, name: str, ids: Sequence[MessageId], *, state: State = State.ANY) -> int:
        values = {
            "ids": list(ids),
            "waiting": state in (State.ANY, State.PENDING, State.DELAYED),
            "due": state is not State.DELAYED,
            "done": state in (State.ANY, State.DONE),
            "dead": state in (State.ANY, State.DEAD),
        }
        return int(self._queues.rows(_DELETE + _PURGE + _DELETED + _COUNT, name, values)[0][0])

    def _change(self, change: str, state: State, name: str, ids: Sequence[int] | None, limit: int) -> int:
        template = _CHOSEN.replace("{table}", WALKED[state]) + change + _COUNT
        values = {
            "all": ids is None,
            "ids": list(ids or ()),
            "limit": limit if ids is None else len(ids),
        }
        steps = [(statement(template, self._queues.number(name)), self._queues.values(values))]
        if self._queues.notifies():
            steps.append((NOTIFY.encode(), {"notify": True}))
        return int(self._session.transaction(steps)[0][0][0])

    def pause(self, name: str, reason: str) -> bool:
        # The lock waits for claims that are under way: when this returns, nothing is lent any more.
        return self._under_lock(_PAUSE, name, {"reason": storable(reason)})

    def resume(self, name: str) -> bool:
        return self._under_lock(_RESUME, name, {})

    def _under_lock(self, template: str, name: str, values: Mapping[str, object]) -> bool:
        number = self._queues.number(name)
        self._queues.notifies()
        found = self._session.transaction(
            [(statement(LOCK, number), {}), (statement(template, number), values), (NOTIFY.encode(), {"notify": True})]
        )[1]
        if not found:
            raise self._queues.unknown(name)
        return bool(found[0][0])

    def paused(self, name: str) -> Pause | None:
        return decode_pause(*self._queues.registered(_PAUSED, name))
