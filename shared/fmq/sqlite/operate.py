"""What operators do to messages: look for them, requeue and purge them, pause their queue. In steps with a bound."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

from fmq.errors import UnknownQueue
from fmq.message import DeadLetter, Message, Pause, Waiting
from fmq.selection import Found, Selection, State
from fmq.sqlite.codec import ANY_COLUMNS, NUMBER, as_number, as_pause, as_text, decode_message, held_bytes
from fmq.sqlite.connection import Store

_AT_ONCE = 100
"""How many topics are held at once while they are looked at: each may have 65,535 bytes."""
_WRITTEN_AT_ONCE = 8 * 1024 * 1024
_THESE = "id IN (SELECT value FROM json_each(:ids))"
_SETTLED = {State.DEAD: "dead_at IS NOT NULL", State.DONE: "processed = 1 AND dead_at IS NULL"}
# Which ids one step looks at, without reading anything of their messages.
_WALKS = {
    State.DEAD: "SELECT id FROM {table} WHERE dead_at IS NOT NULL AND id > :after ORDER BY id LIMIT :within",
    # Along the ids, whatever each row is: an index of the handled ones would cost every settlement something.
    State.DONE: "SELECT id FROM {table} WHERE id > :after ORDER BY id LIMIT :within",
    # Those that were lent and wait again, and those that were never lent; either walk goes by ids.
    State.PENDING: """
        SELECT * FROM (
            SELECT id FROM {lent} WHERE token IS NULL AND id > :after ORDER BY id LIMIT :within
        ) UNION ALL SELECT * FROM (
            SELECT id FROM {table} AS message
            WHERE id > max(:after, (SELECT head FROM fmq_queue WHERE name = :name)) AND processed = 0
            AND NOT EXISTS (SELECT 1 FROM {lent} AS lent WHERE lent.id = message.id) ORDER BY id LIMIT :within
        ) ORDER BY id LIMIT :within""",
}
_SINCE = {State.DEAD: "dead_at", State.DONE: "ifnull(changed_at + :shift, received_at)", State.PENDING: "received_at"}
_IN_STATE = {**_SETTLED, State.PENDING: "processed = 0"}


class Operations:
    """The operator's half of a queue."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, name: str, which: Selection, *, after_id: int, limit: int, within: int) -> Found:
        """See Queue.find."""
        if which.everything:
            within = min(within, limit)
        found: list[int] = []
        looked_at = 0
        with self._store.read():
            walk = _WALKS[which.state].format(table=self._store.table(name), lent=self._store.lent(name))
            ids = [row[0] for row in self._store.rows(walk, {"name": name, "after": after_id, "within": within})]
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                fit = self._fitting(name, which, some)
                for number in some:
                    if number in fit:
                        if len(found) == limit:
                            return Found(found, looked_at, found[-1])
                        found.append(number)
                        looked_at = ids.index(number, start) + 1
        return Found(found, len(ids), ids[-1] if len(ids) == within else None)

    def _fitting(self, name: str, which: Selection, ids: Sequence[int]) -> set[int]:
        """Those of ``ids`` that are meant."""
        rows = self._store.rows(
            f"SELECT id, CAST(topic AS BLOB), {NUMBER.format(_SINCE[which.state])} FROM {self._store.table(name)} "
            f"WHERE {_THESE} AND {_IN_STATE[which.state]} AND instr(lower(ifnull(reason, '')), lower(:reason))",
            {"reason": which.reason or "", "shift": self._store.shift, **_ids(ids)},
        )
        return set(which.among([(row[0], as_text(row[1]), as_number(row[2])) for row in rows]))

    def messages(self, name: str, ids: Sequence[int], most_bytes: int | None) -> Sequence[Message]:
        """See Queue.messages."""
        with self._store.read():
            if most_bytes is not None:
                ids = self._first(name, _THESE, _ids(ids), most_bytes)
            rows = self._store.messages(name, ids)
        return [decode_message(name, row) for row in rows]

    def waiting(self, name: str, ids: Sequence[int]) -> Mapping[int, Waiting]:
        """See Queue.waiting."""
        with self._store.read():
            rows = self._store.rows(
                f"SELECT message.id, {NUMBER.format('lent.due_at')}, CAST(reason AS BLOB) "
                f"FROM {self._store.table(name)} AS message LEFT JOIN {self._store.lent(name)} AS lent ON lent.id = message.id "
                "WHERE message.id IN (SELECT value FROM json_each(:ids)) AND processed = 0 AND lent.token IS NULL",
                _ids(ids),
            )
            now = self._store.now()
        return {
            number: Waiting(0.0 if due is None else max(0.0, as_number(due) - now), as_text(reason or b""))
            for number, due, reason in rows
        }

    def next_retry(self, name: str) -> int | None:
        """See Queue.next_retry."""
        with self._store.read():
            rows = self._store.rows(
                f"SELECT id FROM {self._store.lent(name)} WHERE due_at > ? AND token IS NULL ORDER BY due_at, id LIMIT 1",
                (self._store.now(),),
            )
        return int(rows[0][0]) if rows else None

    def _first(self, name: str, which: str, values: Mapping[str, object], most_bytes: int) -> Sequence[int]:
        """The first ids that hold at most ``most_bytes`` together, and one at least. No long value is read."""
        chosen: list[int] = []
        rows = self._store.sql.execute(
            f"SELECT id, {held_bytes('message')} FROM {self._store.table(name)} AS message WHERE {which} ORDER BY id",
            values,
        )
        with closing(rows):
            for number, size in rows:
                most_bytes -= size
                if chosen and most_bytes < 0:
                    break
                chosen.append(number)
        return chosen

    def dead_letters(
        self, name: str, ids: Sequence[int] | None, *, limit: int, after_id: int, most_bytes: int | None
    ) -> Sequence[DeadLetter]:
        """See Queue.dead_letters."""
        which = f"dead_at IS NOT NULL AND id > :after {'' if ids is None else f'AND {_THESE}'}"
        values: Mapping[str, object] = {"after": after_id, **_ids(ids or ())}
        with self._store.read():
            if most_bytes is not None:
                ids = self._first(name, which, values, most_bytes)
                which, values = _THESE, _ids(ids)
            rows = self._store.rows(
                f"SELECT {NUMBER.format('dead_at')}, CAST(reason AS BLOB), {ANY_COLUMNS} FROM {self._store.table(name)} "
                f"WHERE {which} ORDER BY id LIMIT :limit",
                {**values, "limit": limit},
            )
        return [DeadLetter(decode_message(name, row[2:]), as_number(row[0]), as_text(row[1] or b"")) for row in rows]

    def requeue(self, name: str, state: State, ids: Sequence[int] | None, *, limit: int) -> int:
        """Make settled messages pending: those of ``ids`` that are in ``state``, else the first ``limit`` of all."""
        table, lent = self._store.table(name), self._store.lent(name)
        with self._store.write() as sql:
            chosen = json.loads(self._settled(table, state, ids, limit)["ids"])
            for some in self._pieces(name, chosen):
                values = {**_ids(some), "now": self._store.now()}
                sql.execute(
                    f"INSERT INTO {lent} (id, due_at, received_at) SELECT id, :now, received_at FROM {table} WHERE {_THESE}",
                    values,
                )
                sql.execute(f"UPDATE {table} SET processed = 0, dead_at = NULL, retry_count = 0 WHERE {_THESE}", values)
        return len(chosen)

    def _pieces(self, name: str, ids: Sequence[int]) -> Iterator[Sequence[int]]:
        """``ids`` in pieces that one statement may write anew: SQLite keeps what it overwrites in memory until its end."""
        left = sorted(ids)
        while left:
            some = self._first(name, _THESE, _ids(left), _WRITTEN_AT_ONCE)
            yield some
            left = [number for number in left if number > some[-1]]

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
            rows = self._store.rows(
                "SELECT paused_at, CAST(paused_reason AS BLOB) FROM fmq_queue WHERE name = ?", (name,)
            )
        if not rows:
            raise UnknownQueue(f"there is no queue {name!r}")
        return as_pause(*rows[0])


def _ids(ids: Sequence[int]) -> dict[str, str]:
    return {"ids": json.dumps(list(ids))}
