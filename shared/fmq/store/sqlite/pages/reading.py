"""Reads messages for people: newest first, only the heads of payloads, in bounded steps."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from time import monotonic

import apsw

from fmq.message import Properties
from fmq.outcome import REASON_LIMIT
from fmq.store.paging import MOST_GROUPS, SHORT_REASON, add_to, place_after, place_of
from fmq.store.properties import first_properties
from fmq.store.records import Detail, Group, Groups, Head, Page
from fmq.store.selection import Selection, State
from fmq.store.sqlite.attempts import attempts_at
from fmq.store.sqlite.choosing import THESE, fitting, these
from fmq.store.sqlite.codec import MOST_RETRIES, NUMBER, START, as_number, as_text, properties_of
from fmq.store.sqlite.part import Part

_AT_ONCE = 100
"""How many topics are in memory at once: each may have 65,535 bytes."""
_MOST_SECONDS = 0.25
"""The longest duration of a step, by the real clock: somebody waits for its page."""
_BY_ID = "SELECT id, id FROM {} WHERE id < :before ORDER BY id DESC LIMIT :within"
_PENDING = """
    SELECT id, id FROM (
        SELECT * FROM (SELECT id FROM {lent} WHERE id < :before ORDER BY id DESC LIMIT :within)
        UNION
        SELECT * FROM (
            SELECT id FROM {table} WHERE id < :before AND id > (SELECT head FROM fmq_queue WHERE name = :name)
            ORDER BY id DESC LIMIT :within
        )
    ) ORDER BY id DESC LIMIT :within"""
_DEAD = (
    "SELECT id, dead_at FROM {table} WHERE dead_at IS NOT NULL AND (dead_at, id) < (:at, :before) "
    "ORDER BY dead_at DESC, id DESC LIMIT :within"
)
# The ids that one step looks at, newest first. They may be in any state, so that no step goes beyond its bound.
_WALKS = {
    State.ANY: _BY_ID.format("{table}"),
    State.DONE: _BY_ID.format("{table}"),
    State.CLAIMED: _BY_ID.format("{lent}"),
    State.DELAYED: _BY_ID.format("{lent}"),
    State.PENDING: _PENDING,
    State.DEAD: _DEAD,
}
_HEAD = (
    f"message.id, CAST(topic AS BLOB), processed, {NUMBER.format('dead_at')}, lent.id, token, iif(lent.parked IS NULL, {NUMBER.format('lent.due_at')}, 0.0), "
    f"octet_length(payload), {NUMBER.format('message.received_at')}, qos, retain, {NUMBER.format('retry_count')}, "
    f"{NUMBER.format('changed_at')}, {START.format('reason', 4 * REASON_LIMIT)}"
)


class ReadingPart(Part):
    """The reading half of the role Operating."""

    def heads(
        self,
        name: str,
        which: Selection,
        *,
        text: str | None = None,
        before: str | None = None,
        limit: int = 50,
        within: int = 10_000,
        head_bytes: int = 200,
    ) -> Page:
        end = monotonic() + _MOST_SECONDS
        found: list[int] = []
        looked_at, left_off, is_over = 0, None, False
        with self._database.read():
            for some, is_last in self._walk(name, which.state, before, within):
                fit = fitting(self._database, name, which, [number for number, _ in some])
                for number, place in some:
                    looked_at += 1
                    if number in fit and (text is None or self._has(name, number, text)):
                        found.append(number)
                    left_off = None if is_last and number == some[-1][0] else place_after((number, place))
                    is_over = len(found) == limit or (text is not None and monotonic() > end)
                    if is_over:
                        break
                if is_over or monotonic() > end:
                    break
            heads = self._heads(name, found, head_bytes)
        return Page(heads, looked_at, left_off)

    def detail(
        self, name: str, message_id: int, *, head_bytes: int = 200, property_bytes: int | None = None
    ) -> Detail | None:
        with self._database.read():
            heads = self._heads(name, [message_id], head_bytes)
            if not heads:
                return None
            properties, has_more = self._properties(name, message_id, property_bytes)
        return Detail(heads[0], properties, attempts_at(self._database, name, message_id), has_more)

    def payload(self, name: str, message_id: int, offset: int, length: int) -> bytes | None:
        with self._database.read():
            return self._payload(name, message_id, offset, length)

    def dead_groups(self, name: str, *, before: str | None = None, within: int = 10_000) -> Groups:
        end = monotonic() + _MOST_SECONDS
        groups: dict[str, Group] = {}
        looked_at, left_off = 0, None
        with self._database.read():
            for some, is_last in self._walk(name, State.DEAD, before, within):
                looked_at += len(some)
                reasons = self._reasons(name, [number for number, _ in some])
                for number, at in some:
                    add_to(groups, reasons.get(number, ""), as_number(at))
                left_off = None if is_last else place_after(some[-1])
                if monotonic() > end or len(groups) >= MOST_GROUPS:
                    break
        return Groups(sorted(groups.values(), key=lambda one: -one.count), looked_at, left_off)

    def _walk(
        self, name: str, state: State, before: str | None, within: int
    ) -> Iterator[tuple[Sequence[tuple[int, float]], bool]]:
        """Id and position of the next messages, piece by piece, and whether it is the last piece.

        Each piece is read only when it is needed. Raises ValueError for a ``before`` that no step returned.
        """
        at, number = place_of(before)
        walk = _WALKS[state].format(table=self._database.table(name), lent=self._database.lent(name))
        is_last = False
        while within > 0 and not is_last:
            size = min(within, _AT_ONCE)
            # One more shows whether this is the end.
            rows = self._database.rows(walk, {"name": name, "at": at, "before": number, "within": size + 1})
            some, is_last = rows[:size], len(rows) <= size
            if some:
                yield some, is_last
                number, at = some[-1]
            within -= size

    def _heads(self, name: str, ids: Sequence[int], head_bytes: int) -> list[Head]:
        now, shift = self._database.now(), self._database.shift
        rows = self._database.rows(
            f"SELECT {_HEAD} FROM {self._database.table(name)} AS message "
            f"LEFT JOIN {self._database.lent(name)} AS lent ON lent.id = message.id WHERE message.{THESE}",
            these(ids),
        )
        heads: dict[int, Head] = {}
        for number, topic, processed, dead_at, lent_id, token, due_at, size, received_at, *rest in rows:
            qos, retain, retry_count, changed_at, reason = rest
            state, times = _where((processed, dead_at), (lent_id, token, due_at), now)
            if state is State.DONE and changed_at is not None:
                times = {"settled_at": changed_at + shift}
            heads[number] = Head(
                id=number,
                queue=name,
                topic=as_text(topic),
                state=state,
                payload=self._payload(name, number, 0, head_bytes) or b"",
                size=size or 0,
                received_at=as_number(received_at),
                qos=qos if qos in (0, 1, 2) else 1,
                retain=retain == 1,
                retry_count=min(max(int(as_number(retry_count)), 0), MOST_RETRIES),
                reason=as_text(reason),
                **times,
            )
        return [heads[number] for number in ids if number in heads]

    def _reasons(self, name: str, ids: Sequence[int]) -> Mapping[int, str]:
        rows = self._database.rows(
            f"SELECT id, {START.format('reason', 4 * SHORT_REASON)} FROM {self._database.table(name)} WHERE {THESE}",
            these(ids),
        )
        return {number: as_text(reason) for number, reason in rows}

    def _has(self, name: str, message_id: int, text: str) -> bool:
        return bool(
            self._database.rows(
                "SELECT instr(CAST(topic AS BLOB), CAST(:text AS BLOB)) OR instr(CAST(payload AS BLOB), CAST(:text AS BLOB)) "
                f"FROM {self._database.table(name)} WHERE id = :id",
                {"text": text, "id": message_id},
            )[0][0]
        )

    def _properties(self, name: str, message_id: int, most: int | None) -> tuple[Properties, bool]:
        """The properties within the first ``most`` bytes, and whether there are more."""
        found = None if most is None else self._part_of("properties", name, message_id, 0, most + 1)
        if found is not None and most is not None and len(found) > most:
            return first_properties(found[:most].decode("ascii", "replace")), True
        if found is None:
            ((found,),) = self._database.rows(
                f"SELECT CAST(properties AS BLOB) FROM {self._database.table(name)} WHERE id = ?", (message_id,)
            )
        return properties_of(found), False

    def _payload(self, name: str, message_id: int, offset: int, length: int) -> bytes | None:
        found = self._part_of("payload", name, message_id, offset, length)
        if found is not None:
            return found
        # The row does not exist, or its payload is a number that somebody has inserted.
        rows = self._database.rows(
            f"SELECT CAST(payload AS BLOB) FROM {self._database.table(name)} WHERE id = ?", (message_id,)
        )
        return rows[0][0][offset : offset + length] if rows else None

    def _part_of(self, column: str, name: str, message_id: int, offset: int, length: int) -> bytes | None:
        """Uses incremental I/O, since selecting a column loads all of it (sqlite.org/c3ref/blob_open.html).

        None without such a row, or if it is neither text nor bytes.
        """
        try:
            blob = self._database.sql.blob_open("main", self._database.bare_table(name), column, message_id, False)
        except apsw.SQLError:
            return None
        with closing(blob):
            blob.seek(min(offset, blob.length()))
            return blob.read(length)


def _where(
    settled: tuple[object, object], lent: tuple[object, object, object], now: float
) -> tuple[State, dict[str, float]]:
    """The state of a message and its times. ``lent`` is the id, token and due time of its row among the lent ones, if any."""
    processed, dead_at = settled
    if dead_at is not None:
        return State.DEAD, {"settled_at": as_number(dead_at)}
    if processed == 1:
        return State.DONE, {}
    number, token, due_at = lent
    if token is not None:
        return State.CLAIMED, {"lease": as_number(due_at) - now}
    if number is not None and as_number(due_at) > now:
        return State.DELAYED, {"due_in": as_number(due_at) - now}
    return State.PENDING, {}
