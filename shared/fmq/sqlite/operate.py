"""What operators do to messages: look for them, requeue and purge them, pause their queue. In steps with a bound."""

import json
from collections.abc import Sequence

from fmq.errors import UnknownQueue
from fmq.message import DeadLetter, Message, Pause
from fmq.selection import Found, Selection, State
from fmq.sqlite.codec import ANY_COLUMNS, NUMBER, as_number, as_text, decode_message
from fmq.sqlite.connection import Store

_THESE = "id IN (SELECT value FROM json_each(:ids))"
_SETTLED = {State.DEAD: "dead_at IS NOT NULL", State.DONE: "processed = 1 AND dead_at IS NULL"}
# What one step reads: id, topic, since when, and whether the reason fits.
_LOOK = (
    "id, CAST(topic AS BLOB) AS topic, "
    + NUMBER.format("{since}")
    + ", instr(lower(ifnull(reason, '')), lower(:reason))"
)
_WALKS = {
    State.DEAD: f"SELECT {_LOOK.format(since='dead_at')} FROM {{table}} "
    "WHERE dead_at IS NOT NULL AND id > :after ORDER BY id LIMIT :within",
    # Along the ids, whatever each row is: an index of the handled ones would cost every settlement something.
    State.DONE: f"SELECT {_LOOK.format(since='ifnull(changed_at + :shift, received_at)')}, processed = 1 AND dead_at IS NULL "
    "FROM {table} WHERE id > :after ORDER BY id LIMIT :within",
    # Those that were lent and wait again, and those that were never lent; either walk goes by ids.
    State.PENDING: f"""
        SELECT * FROM (
            SELECT {_LOOK.format(since="received_at")} FROM {{table}} WHERE id IN (
                SELECT id FROM {{lent}} WHERE token IS NULL AND id > :after ORDER BY id LIMIT :within
            )
        ) UNION ALL SELECT * FROM (
            SELECT {_LOOK.format(since="received_at")} FROM {{table}} AS message
            WHERE id > max(:after, (SELECT head FROM fmq_queue WHERE name = :name)) AND processed = 0
            AND NOT EXISTS (SELECT 1 FROM {{lent}} AS lent WHERE lent.id = message.id) ORDER BY id LIMIT :within
        ) ORDER BY id LIMIT :within""",
}


class Operations:
    """The operator's half of a queue."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, name: str, which: Selection, *, after_id: int, limit: int, within: int) -> Found:
        """See Queue.find."""
        if which.everything:
            within = min(within, limit)
        with self._store.read():
            rows = self._store.rows(
                _WALKS[which.state].format(table=self._store.table(name), lent=self._store.lent(name)),
                {
                    "name": name,
                    "after": after_id,
                    "within": within,
                    "reason": which.reason or "",
                    "shift": self._store.shift,
                },
            )
        ids = which.among([(row[0], as_text(row[1]), as_number(row[2])) for row in rows if row[3] and all(row[4:])])
        if len(ids) > limit:
            ids = ids[:limit]
            return Found(ids, next(count for count, row in enumerate(rows, 1) if row[0] == ids[-1]), ids[-1])
        return Found(ids, len(rows), rows[-1][0] if len(rows) == within else None)

    def messages(self, name: str, ids: Sequence[int]) -> Sequence[Message]:
        """See Queue.messages."""
        with self._store.read():
            rows = self._store.messages(name, ids)
        return [decode_message(name, row) for row in rows]

    def dead_letters(self, name: str, ids: Sequence[int] | None, *, limit: int, after_id: int) -> Sequence[DeadLetter]:
        """See Queue.dead_letters."""
        with self._store.read():
            rows = self._store.rows(
                f"SELECT {NUMBER.format('dead_at')}, CAST(reason AS BLOB), {ANY_COLUMNS} FROM {self._store.table(name)} "
                f"WHERE dead_at IS NOT NULL AND id > :after {'' if ids is None else f'AND {_THESE}'} ORDER BY id LIMIT :limit",
                {"after": after_id, "limit": limit, **_ids(ids or ())},
            )
        return [DeadLetter(decode_message(name, row[2:]), as_number(row[0]), as_text(row[1] or b"")) for row in rows]

    def requeue(self, name: str, state: State, ids: Sequence[int] | None, *, limit: int) -> int:
        """Make settled messages pending: those of ``ids`` that are in ``state``, else the first ``limit`` of all."""
        table, lent = self._store.table(name), self._store.lent(name)
        with self._store.write() as sql:
            chosen = {**self._settled(table, state, ids, limit), "now": self._store.now()}
            sql.execute(
                f"INSERT INTO {lent} (id, due_at, received_at) SELECT id, :now, received_at FROM {table} WHERE {_THESE}",
                chosen,
            )
            sql.execute(f"UPDATE {table} SET processed = 0, dead_at = NULL, retry_count = 0 WHERE {_THESE}", chosen)
            return sql.changes()

    def purge_dead(self, name: str, ids: Sequence[int] | None, *, limit: int) -> int:
        """See Queue.purge_dead."""
        table = self._store.table(name)
        with self._store.write() as sql:
            sql.execute(f"DELETE FROM {table} WHERE {_THESE}", self._settled(table, State.DEAD, ids, limit))
            return sql.changes()

    def _settled(self, table: str, state: State, ids: Sequence[int] | None, limit: int) -> dict[str, str]:
        which = f"SELECT id FROM {table} WHERE {_SETTLED[state]}"
        if ids is None:
            rows = self._store.rows(f"{which} ORDER BY id LIMIT ?", (limit,))
        else:
            rows = self._store.rows(f"{which} AND {_THESE}", _ids(ids))
        return _ids([row[0] for row in rows])

    def pause(self, name: str, reason: str) -> bool:
        """See Queue.pause."""
        with self._store.write() as sql:
            self._store.table(name)
            sql.execute(
                "UPDATE fmq_queue SET paused_at = ?, paused_reason = ? WHERE name = ? AND paused_at IS NULL",
                (self._store.wall(), reason, name),
            )
            return bool(sql.changes())

    def resume(self, name: str) -> bool:
        """See Queue.resume."""
        with self._store.write() as sql:
            self._store.table(name)
            sql.execute(
                "UPDATE fmq_queue SET paused_at = NULL, paused_reason = NULL WHERE name = ? AND paused_at IS NOT NULL",
                (name,),
            )
            return bool(sql.changes())

    def paused(self, name: str) -> Pause | None:
        """See Queue.paused."""
        with self._store.read():
            rows = self._store.rows("SELECT paused_at, paused_reason FROM fmq_queue WHERE name = ?", (name,))
        if not rows:
            raise UnknownQueue(f"there is no queue {name!r}")
        return None if rows[0][0] is None else Pause(*rows[0])


def _ids(ids: Sequence[int]) -> dict[str, str]:
    return {"ids": json.dumps(list(ids))}
