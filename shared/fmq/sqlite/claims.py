"""Lending messages: those that were lent before and are due again, and those that stand behind the queue's head."""

import heapq
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from fmq.message import Claim
from fmq.sqlite.codec import ANY_COLUMNS, MESSAGE_COLUMNS, as_number, decode_message
from fmq.sqlite.connection import Store
from fmq.sqlite.order import Order, wrong_order
from fmq.sqlite.schema import ONE_MORE
from fmq.sqlite.topics import Topics

_PAYLOAD, _RECEIVED_AT, _PROPERTIES, _CHANGED_AT = 2, 3, 7, 8  # among MESSAGE_COLUMNS


class _Again(NamedTuple):
    """A message that was lent before and is due: as a claim whose lease ran out, if ``expired``. ``size`` in bytes."""

    due_at: float
    id: int
    expired: bool
    size: int


class _Chosen(NamedTuple):
    """What a claim takes: whole rows of those never lent, ids of the others. ``suspect``: it is one whose lease ran out."""

    fresh: Sequence[tuple[Any, ...]]
    again: Sequence[int]
    head: int
    suspect: bool = False


class Claims:
    """The lending half of a queue."""

    def __init__(self, store: Store, order: Order) -> None:
        self._store = store
        self._order = order
        self._topics = Topics(store)

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
            rows = list(chosen.fresh)
            if chosen.again:
                rows += store.messages(name, chosen.again)
                rows.sort(key=_id)
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

    def _any_due(self, name: str, *, ordered: bool) -> bool:
        """Whether a look with the lock held is worth while. Raises WrongOrder."""
        store = self._store
        with store.read():
            mode, is_due = store.rows(
                "SELECT ordered, paused_at IS NULL AND "
                f"(EXISTS (SELECT 1 FROM {store.table(name)} WHERE id > head AND processed = 0) "
                f"OR EXISTS (SELECT 1 FROM {store.lent(name)} WHERE due_at <= :now)) FROM fmq_queue WHERE name = :name",
                {"name": name, "now": store.now()},
            )[0]
        if mode is None:
            self._order.begin(name, ordered=ordered)
        elif mode != ordered:
            raise wrong_order(name, ordered=ordered)
        return bool(is_due)

    def _lend(self, name: str, ids: Sequence[int], *, until: float) -> int:
        """Note who holds these messages; the token of the claim."""
        token = int(self._store.rows("UPDATE fmq_token SET token = token + 1 RETURNING token")[0][0])
        self._store.rows(
            f"INSERT INTO {self._store.lent(name)} (id, due_at, token) SELECT value, :until, :token FROM json_each(:ids) "
            "WHERE true ON CONFLICT DO UPDATE SET due_at = excluded.due_at, token = excluded.token, received_at = NULL",
            {"ids": json.dumps(ids), "until": until, "token": token},
        )
        return token

    def _longest_due(self, name: str, limit: int, head: int, now: float, most_bytes: int | None) -> _Chosen:
        """What has waited longest: a message that was never lent since it came, another one since it was due again."""
        table, lent = self._store.table(name), self._store.lent(name)
        # SQLite knows a payload's length from the row's header, without reading the payload.
        again = [
            _Again(*row)
            for row in self._store.rows(
                "SELECT due_at, id, token IS NOT NULL, "
                f"ifnull((SELECT length(payload) FROM {table} AS message WHERE message.id = lent.id), 0) "
                f"FROM {lent} AS lent WHERE due_at <= ? ORDER BY due_at, id LIMIT ?",
                (now, limit),
            )
        ]
        unread = (
            "SELECT {} "
            f"FROM {table} AS message WHERE id > ? AND processed = 0 "
            f"AND NOT EXISTS (SELECT 1 FROM {lent} AS lent WHERE lent.id = message.id) ORDER BY id LIMIT ?"
        )
        try:
            with closing(self._store.sql.execute(unread.format(MESSAGE_COLUMNS), (head, limit))) as rows:
                return self._choose(name, again, rows, limit, head, most_bytes)
        except UnicodeDecodeError:  # somebody's own INSERT
            with closing(self._store.sql.execute(unread.format(ANY_COLUMNS), (head, limit))) as rows:
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
        left = float("inf") if most_bytes is None else most_bytes
        line: Iterator[Any] = iter(unread) if not again else heapq.merge(again, unread, key=_since)
        for one in line:
            was_lent = again and type(one) is _Again
            if was_lent and one.expired:
                if not fresh and not ids:
                    return _Chosen((), [one.id], head, suspect=True)
                continue  # the next claim begins with it
            left -= one.size if was_lent else _size(one)
            if left < 0 and (fresh or ids):
                break
            if was_lent:
                ids.append(one.id)
            else:
                fresh.append(one)
            if len(fresh) + len(ids) == limit:
                break
        else:
            # All that was never lent is lent now: what else stands behind the head need not be looked at again.
            last = self._store.rows(f"SELECT max(id) FROM {self._store.table(name)}")[0][0]
            return _Chosen(fresh, ids, max(head, last or 0))
        return _Chosen(fresh, ids, fresh[-1][0] if fresh else head)

    def _heads(self, name: str, limit: int, head: int, now: float, most_bytes: int | None) -> _Chosen:
        ids, suspect = self._topics.heads(name, limit, now, most_bytes)
        return _Chosen((), ids, self._past_settled(name, head), suspect)

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


def _size(row: tuple[Any, ...]) -> int:
    payload = row[_PAYLOAD]
    return len(payload if isinstance(payload, bytes | str) else str(payload))


def _id(row: tuple[Any, ...]) -> int:
    return int(row[0])


def _since(one: Any) -> float:  # noqa: ANN401 - a row, or one that was lent
    """Since when it could be lent, in the store's time; a row that somebody has inserted goes by its date."""
    if type(one) is _Again:
        return float(one.due_at)
    since = one[_CHANGED_AT]
    return since if type(since) is float else as_number(one[_RECEIVED_AT])
