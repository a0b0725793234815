"""Lending messages: those that were lent before and are due again, and those that stand behind the queue's head."""

import heapq
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from operator import itemgetter
from typing import Any, NamedTuple, Self

import apsw

from fmq.message import Claim
from fmq.sqlite.codec import (
    ANY_COLUMNS,
    MESSAGE_COLUMNS,
    MOST_AT_SIGHT,
    PROPERTIES_FACTOR,
    TOPIC_FACTOR,
    as_number,
    decode_message,
    held_bytes,
)
from fmq.sqlite.connection import Store
from fmq.sqlite.order import Order, wrong_order
from fmq.sqlite.schema import ONE_MORE
from fmq.sqlite.topics import Topics

_TOPIC, _PAYLOAD, _RECEIVED_AT, _PROPERTIES, _CHANGED_AT = 1, 2, 3, 7, 8  # among MESSAGE_COLUMNS


def _at_sight(columns: str) -> str:
    """``columns`` with its length in place of a long payload or properties: SQLite knows it from the row's header."""
    for column in ("payload", "properties"):
        value = (
            f"iif(typeof({column}) = 'text', CAST({column} AS BLOB), {column})" if columns == ANY_COLUMNS else column
        )
        length = f"octet_length({column})"
        columns = columns.replace(value, f"iif({length} > {MOST_AT_SIGHT}, {length}, {value})")
    return columns


_AT_SIGHT, _ANY_AT_SIGHT = _at_sight(MESSAGE_COLUMNS), _at_sight(ANY_COLUMNS)


class _Again(NamedTuple):
    """A message that was lent before and is due: as a claim whose lease ran out, if ``expired``. ``size``: bytes of memory."""

    due_at: float
    id: int
    expired: bool
    size: int


class _Chosen(NamedTuple):
    """What a claim takes: rows of those never lent, ids of the others. ``suspect``: it is one whose lease ran out.

    ``large``: the ids of those rows in which a length stands for what is long.
    """

    fresh: list[tuple[Any, ...]]
    again: Sequence[int]
    head: int
    suspect: bool = False
    large: Collection[int] = ()


class _Statements(NamedTuple):
    """What each claim of a queue runs; SQLite finds a statement that it knows by its text."""

    any_due: str
    again: str
    unread: str
    unread_at_sight: str
    unread_as_bytes: str
    lend: str

    @classmethod
    def of(cls, table: str, lent: str) -> Self:
        unread = (
            f" FROM {table} AS message WHERE id > ? AND processed = 0 "
            f"AND NOT EXISTS (SELECT 1 FROM {lent} AS lent WHERE lent.id = message.id) ORDER BY id LIMIT ?"
        )
        return cls(
            any_due="SELECT ordered, paused_at IS NULL AND "
            f"(EXISTS (SELECT 1 FROM {table} WHERE id > head AND processed = 0) "
            f"OR EXISTS (SELECT 1 FROM {lent} WHERE due_at <= :now)) FROM fmq_queue WHERE name = :name",
            again="SELECT due_at, id, token IS NOT NULL, "
            f"ifnull((SELECT {held_bytes('message')} FROM {table} AS message WHERE message.id = lent.id), 0) "
            f"FROM {lent} AS lent WHERE due_at <= ? ORDER BY due_at, id LIMIT ?",
            unread=f"SELECT {MESSAGE_COLUMNS}{unread}",
            unread_at_sight=f"SELECT {_AT_SIGHT}{unread}",
            unread_as_bytes=f"SELECT {_ANY_AT_SIGHT}{unread}",
            lend=f"INSERT INTO {lent} (id, due_at, token) SELECT value, :until, :token FROM json_each(:ids) "
            "WHERE true ON CONFLICT DO UPDATE SET due_at = excluded.due_at, token = excluded.token, received_at = NULL",
        )


class Claims:
    """The lending half of a queue."""

    def __init__(self, store: Store, order: Order) -> None:
        self._store = store
        self._order = order
        self._topics = Topics(store)
        self._known: dict[str, _Statements] = {}

    def claim(self, name: str, limit: int, *, lease: float, ordered: bool, most_bytes: int | None) -> Sequence[Claim]:
        """See Queue.claim."""
        store = self._store
        if limit < 1:
            return []
        if not self._any_due(name, ordered=ordered):
            return []
        with store.write():
            # The time is read with the lock held: a wait for it does not eat into the lease.
            now = store.now()
            head, paused_at, mode = store.rows(
                "SELECT head, paused_at, ordered FROM fmq_queue WHERE name = ?", (name,)
            )[0]
            if mode != ordered:
                raise wrong_order(name, ordered=ordered)
            if paused_at is not None:
                return []
            chosen = (
                self._heads(name, limit, head, now, most_bytes)
                if ordered
                else self._longest_due(name, limit, head, now, most_bytes)
            )
            ids = [*chosen.again, *(row[0] for row in chosen.fresh)]
            token = self._lend(name, ids, until=now + lease) if ids else 0
            if chosen.suspect:
                store.rows(f"UPDATE {store.table(name)} SET {ONE_MORE} WHERE id = ?", ids)
            count = 0 if chosen.suspect else len(ids)
            if count or chosen.head != head:
                store.rows(
                    "UPDATE fmq_queue SET head = ?1, pending = pending - ?2, claimed = claimed + ?2 WHERE name = ?3",
                    (chosen.head, count, name),
                )
            rows = chosen.fresh
            if unread := [*chosen.again, *chosen.large]:
                rows = [row for row in rows if row[0] not in chosen.large] + store.messages(name, unread)
                rows.sort(key=itemgetter(0))
        until, suspect = now + lease, chosen.suspect
        return [
            tuple.__new__(  # as Claim(…) does, with a call less
                Claim,
                (
                    decode_message(name, row),
                    token,
                    until,
                    suspect,
                    0.0 if row[_PROPERTIES] is None else now - _since(row),
                ),
            )
            for row in rows
        ]

    def _statements(self, name: str) -> _Statements:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = _Statements.of(self._store.table(name), self._store.lent(name))
        return known

    def _any_due(self, name: str, *, ordered: bool) -> bool:
        """Whether a look with the lock held is worth while. Raises WrongOrder."""
        store = self._store
        with store.read():
            mode, is_due = store.rows(self._statements(name).any_due, {"name": name, "now": store.now()})[0]
        if mode is None:
            self._order.begin(name, ordered=ordered)
        elif mode != ordered:
            raise wrong_order(name, ordered=ordered)
        return bool(is_due)

    def _lend(self, name: str, ids: Sequence[int], *, until: float) -> int:
        """Note who holds these messages; the token of the claim."""
        found = self._store.rows("UPDATE fmq_token SET token = token + 1 RETURNING token")
        if not found:
            raise apsw.SQLError("fmq_token has no row")
        token = int(found[0][0])
        self._store.rows(
            self._statements(name).lend,
            {"ids": json.dumps(ids), "until": until, "token": token},
        )
        return token

    def _longest_due(self, name: str, limit: int, head: int, now: float, most_bytes: int | None) -> _Chosen:
        """What has waited longest: a message that was never lent since it came, another one since it was due again."""
        statements = self._statements(name)
        again = [_Again(*row) for row in self._store.rows(statements.again, (now, limit))]
        try:
            unread = statements.unread if most_bytes is None else statements.unread_at_sight
            with closing(self._store.sql.execute(unread, (head, limit))) as rows:
                return self._choose(name, again, rows, limit, head, most_bytes)
        except UnicodeDecodeError:  # somebody's own INSERT
            with closing(self._store.sql.execute(statements.unread_as_bytes, (head, limit))) as rows:
                return self._choose(name, again, rows, limit, head, most_bytes)

    def _choose(
        self,
        name: str,
        again: Sequence[_Again],
        unread: Iterable[tuple[Any, ...]],
        limit: int,
        head: int,
        most_bytes: int | None,
    ) -> _Chosen:
        fresh: list[tuple[Any, ...]] = []
        ids: list[int] = []
        large: set[int] = set()
        room = limit
        left = float("inf") if most_bytes is None else most_bytes
        line: Iterator[Any] = iter(unread) if not again else heapq.merge(again, unread, key=_since)
        for one in line:
            if again and type(one) is _Again:
                if one.expired:
                    if not fresh and not ids:
                        return _Chosen([], [one.id], head, suspect=True)
                    continue  # the next claim begins with it
                left -= one.size
                if left < 0 and (fresh or ids):
                    break
                ids.append(one.id)
            else:
                number, topic, payload, _, _, _, _, properties, _ = one
                try:
                    left -= len(payload) + TOPIC_FACTOR * len(topic)
                    if properties is not None:
                        left -= PROPERTIES_FACTOR * len(properties)
                except TypeError:  # the length of what is long, or somebody's own INSERT
                    left -= _held_by_large(one)
                    if left >= 0 or not (fresh or ids):
                        large.add(number)
                if left < 0 and (fresh or ids):
                    break
                fresh.append(one)
            room -= 1
            if not room:
                break
        else:
            # All that was never lent is lent now: what else stands behind the head need not be looked at again.
            last = self._store.rows(f"SELECT max(id) FROM {self._store.table(name)}")[0][0]
            return _Chosen(fresh, ids, max(head, last or 0), large=large)
        return _Chosen(fresh, ids, fresh[-1][0] if fresh else head, large=large)

    def _heads(self, name: str, limit: int, head: int, now: float, most_bytes: int | None) -> _Chosen:
        ids, suspect = self._topics.heads(name, limit, now, most_bytes)
        return _Chosen([], ids, self._past_settled(name, head), suspect)

    def _past_settled(self, name: str, head: int) -> int:
        """How far the head may go, so that nobody walks through what is settled: up to what was never lent."""
        table, lent = self._store.table(name), self._store.lent(name)
        first, last = self._store.rows(
            f"SELECT (SELECT id FROM {table} AS message WHERE id > ? AND processed = 0 "
            f"AND NOT EXISTS (SELECT 1 FROM {lent} AS lent WHERE lent.id = message.id) ORDER BY id LIMIT 1), "
            f"(SELECT max(id) FROM {table})",
            (head,),
        )[0]
        return max(head, first - 1 if first is not None else last or 0)


def _held_by_large(row: tuple[Any, ...]) -> int:
    payload, properties = (
        max(one, 0) if isinstance(one, int) else _length(one) for one in (row[_PAYLOAD], row[_PROPERTIES])
    )
    return payload + TOPIC_FACTOR * _length(row[_TOPIC]) + PROPERTIES_FACTOR * properties


def _length(value: object) -> int:
    return len(value if isinstance(value, bytes | str) else str(value))


def _since(one: Any) -> float:  # noqa: ANN401 - a row, or one that was lent
    """Since when it could be lent, in the store's time; a row that somebody has inserted goes by its date."""
    if type(one) is _Again:
        return float(one.due_at)
    since = one[_CHANGED_AT]
    return since if type(since) is float else as_number(one[_RECEIVED_AT])
