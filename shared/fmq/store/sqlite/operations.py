"""Finds, requeues and purges messages and pauses queues, in bounded steps."""

import json
from collections.abc import Iterator, Mapping, Sequence

from fmq.message import DeadLetter, Message, MessageId, Pause, Waiting
from fmq.store.selection import Found, Selection, State
from fmq.store.sqlite.choosing import IN_STATE, THESE, first_fitting, fitting, not_lent, these
from fmq.store.sqlite.codec import ANY_COLUMNS, NUMBER, as_number, as_pause, as_text, decode_message
from fmq.store.sqlite.database import Database

_AT_ONCE = 100
"""How many topics are in memory at once: each may have 65,535 bytes."""
_WRITTEN_AT_ONCE = 8 * 1024 * 1024
# The ids that one step looks at, found without reading their messages.
_WALKS = {
    State.DEAD: "SELECT id FROM {table} WHERE dead_at IS NOT NULL AND id > :after ORDER BY id LIMIT :within",
    # Along all ids: an index of handled messages would cost every settlement something.
    State.DONE: "SELECT id FROM {table} WHERE id > :after ORDER BY id LIMIT :within",
    # Messages that were lent and wait again, and messages that were never lent, both by id.
    State.ANY: "SELECT id FROM {table} WHERE id > :after ORDER BY id LIMIT :within",
    State.CLAIMED: "SELECT id FROM {lent} WHERE id > :after ORDER BY id LIMIT :within",
    State.DELAYED: "SELECT id FROM {lent} WHERE id > :after ORDER BY id LIMIT :within",
    State.PENDING: """
        SELECT * FROM (
            SELECT id FROM {lent} WHERE token IS NULL AND id > :after ORDER BY id LIMIT :within
        ) UNION ALL SELECT * FROM (
            SELECT id FROM {table} AS message
            WHERE id > max(:after, (SELECT head FROM fmq_queue WHERE name = :name)) AND processed = 0
            AND NOT EXISTS (SELECT 1 FROM {lent} AS lent WHERE lent.id = message.id) ORDER BY id LIMIT :within
        ) ORDER BY id LIMIT :within""",
}


class Operations:
    """The role Operating, without reading for pages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, name: str, which: Selection, *, after_id: MessageId | None, limit: int, within: int) -> Found:
        """See Operating.find."""
        if which.everything:
            within = min(within, limit)
        found: list[int] = []
        looked_at = 0
        with self._database.read():
            walk = _WALKS[which.state].format(table=self._database.table(name), lent=self._database.lent(name))
            ids = [
                row[0] for row in self._database.rows(walk, {"name": name, "after": after_id or 0, "within": within})
            ]
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                fit = fitting(self._database, name, which, some)
                for number in some:
                    if number in fit:
                        if len(found) == limit:
                            return Found(found, looked_at, found[-1])
                        found.append(number)
                        looked_at = ids.index(number, start) + 1
        is_end = len(ids) < within or which.is_beyond(ids[-1])
        return Found(found, len(ids), None if is_end else ids[-1])

    def messages(self, name: str, ids: Sequence[int], most_bytes: int | None) -> Sequence[Message]:
        """See Operating.messages."""
        with self._database.read():
            if most_bytes is not None:
                ids = first_fitting(self._database, name, THESE, these(ids), most_bytes)
            rows = self._database.messages(name, ids)
        return [decode_message(name, row) for row in rows]

    def waiting(self, name: str, ids: Sequence[int]) -> Mapping[int, Waiting]:
        """See Operating.waiting."""
        with self._database.read():
            rows = self._database.rows(
                f"SELECT message.id, iif(lent.parked IS NULL, {NUMBER.format('lent.due_at')}, 0.0), CAST(reason AS BLOB) "
                f"FROM {self._database.table(name)} AS message LEFT JOIN {self._database.lent(name)} AS lent ON lent.id = message.id "
                "WHERE message.id IN (SELECT value FROM json_each(:ids)) AND processed = 0 AND lent.token IS NULL",
                these(ids),
            )
            now = self._database.now()
        return {
            number: Waiting(0.0 if due is None else max(0.0, as_number(due) - now), as_text(reason or b""))
            for number, due, reason in rows
        }

    def next_retry(self, name: str) -> int | None:
        """See Operating.next_retry."""
        with self._database.read():
            rows = self._database.rows(
                f"SELECT id FROM {self._database.lent(name)} WHERE due_at > ? AND token IS NULL AND parked IS NULL "
                "ORDER BY due_at, id LIMIT 1",
                (self._database.now(),),
            )
        return int(rows[0][0]) if rows else None

    def dead_letters(
        self, name: str, ids: Sequence[int] | None, *, limit: int, after_id: MessageId | None, most_bytes: int | None
    ) -> Sequence[DeadLetter]:
        """See Operating.dead_letters."""
        which = f"dead_at IS NOT NULL AND id > :after {'' if ids is None else f'AND {THESE}'}"
        values: Mapping[str, object] = {"after": after_id or 0, **these(ids or ())}
        with self._database.read():
            if most_bytes is not None:
                ids = first_fitting(self._database, name, which, values, most_bytes)
                which, values = THESE, these(ids)
            rows = self._database.rows(
                f"SELECT {NUMBER.format('dead_at')}, CAST(reason AS BLOB), {ANY_COLUMNS} FROM {self._database.table(name)} "
                f"WHERE {which} ORDER BY id LIMIT :limit",
                {**values, "limit": limit},
            )
        return [DeadLetter(decode_message(name, row[2:]), as_number(row[0]), as_text(row[1] or b"")) for row in rows]

    def requeue(self, name: str, state: State, ids: Sequence[int] | None, *, limit: int) -> int:
        """Make settled messages pending: those of ``ids`` in ``state``, or the first ``limit`` of all."""
        table, lent = self._database.table(name), self._database.lent(name)
        with self._database.write() as sql:
            chosen = json.loads(self._settled(table, state, ids, limit)["ids"])
            for some in self._pieces(name, chosen):
                values = {**these(some), "now": self._database.now()}
                sql.execute(
                    f"INSERT INTO {lent} (id, due_at, received_at) SELECT id, :now, received_at FROM {table} WHERE {THESE}",
                    values,
                )
                sql.execute(f"UPDATE {table} SET processed = 0, dead_at = NULL, retry_count = 0 WHERE {THESE}", values)
        return len(chosen)

    def _pieces(self, name: str, ids: Sequence[int]) -> Iterator[Sequence[int]]:
        """``ids`` in parts that one statement may rewrite: SQLite keeps what it overwrites in memory until the statement ends."""
        left = sorted(ids)
        while left:
            some = first_fitting(self._database, name, THESE, these(left), _WRITTEN_AT_ONCE)
            yield some
            left = [number for number in left if number > some[-1]]

    def purge_dead(self, name: str, ids: Sequence[int] | None, *, limit: int) -> int:
        """See Operating.purge_dead."""
        table = self._database.table(name)
        with self._database.write() as sql:
            sql.execute(f"DELETE FROM {table} WHERE {THESE}", self._settled(table, State.DEAD, ids, limit))
            return sql.changes()

    def delete_messages(self, name: str, ids: Sequence[int], state: State) -> int:
        """See Operating.delete_messages."""
        with self._database.write() as sql:
            which = not_lent(state).format(lent=self._database.lent(name))
            sql.execute(
                f"DELETE FROM {self._database.table(name)} AS message WHERE {THESE} AND {which}",
                {"now": self._database.now(), **these(ids)},
            )
            return sql.changes()

    def _settled(self, table: str, state: State, ids: Sequence[int] | None, limit: int) -> dict[str, str]:
        which = f"SELECT id FROM {table} WHERE {IN_STATE[state]}"
        if ids is None:
            rows = self._database.rows(f"{which} ORDER BY id LIMIT ?", (limit,))
        else:
            rows = self._database.rows(f"{which} AND {THESE}", these(ids))
        return these([row[0] for row in rows])

    def pause(self, name: str, reason: str) -> bool:
        """See Operating.pause."""
        with self._database.write() as sql:
            self._database.of_queue(name, "name")
            sql.execute(
                "UPDATE fmq_queue SET paused_at = ?, paused_reason = ? WHERE name = ? AND paused_at IS NULL",
                (self._database.wall(), reason, name),
            )
            return bool(sql.changes())

    def resume(self, name: str) -> bool:
        """See Operating.resume."""
        with self._database.write() as sql:
            self._database.of_queue(name, "name")
            sql.execute(
                "UPDATE fmq_queue SET paused_at = NULL, paused_reason = NULL WHERE name = ? AND paused_at IS NOT NULL",
                (name,),
            )
            return bool(sql.changes())

    def paused(self, name: str) -> Pause | None:
        """See Operating.paused."""
        with self._database.read():
            return as_pause(*self._database.of_queue(name, "paused_at, CAST(paused_reason AS BLOB)"))
