"""Lends messages: those that were lent before and are due again, and new ones after the queue's head."""

import heapq
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from operator import itemgetter
from typing import Any, NamedTuple

import apsw

from fmq.message import Claim
from fmq.outcome import Cause
from fmq.store.ordering import wrong_order
from fmq.store.sqlite.attempts import LAPSED, note_attempt
from fmq.store.sqlite.codec import (
    PROPERTIES_FACTOR,
    TOPIC_FACTOR,
    as_number,
    decode_message,
)
from fmq.store.sqlite.database import Database
from fmq.store.sqlite.lending.claim_statements import Statements
from fmq.store.sqlite.lending.delivery_order import DeliveryOrder
from fmq.store.sqlite.lending.ordered import OrderedTopics
from fmq.store.sqlite.schema.tables import ONE_MORE

_TOPIC, _PAYLOAD, _RECEIVED_AT, _PROPERTIES, _CHANGED_AT = 1, 2, 3, 7, 8  # among MESSAGE_COLUMNS


class _Again(NamedTuple):
    """A message that was lent before and is due again. ``size`` is in bytes of memory.

    ``expired``: its lease ran out. ``suspect``: this, or its last worker died and nobody has tried it since.
    """

    due_at: float
    id: int
    expired: bool
    suspect: bool
    size: int


class _Chosen(NamedTuple):
    """The messages of a claim: rows of new ones, ids of the others. ``suspect``: it is one that may have killed its worker.

    ``expired``: the suspect's lease ran out just now, and its attempt is not counted yet. ``large`` holds the ids of rows that have a length in place of a long value.
    """

    fresh: list[tuple[Any, ...]]
    again: Sequence[int]
    head: int
    suspect: bool = False
    expired: bool = False
    large: Collection[int] = ()


class Claims:
    """The lending half of the role Lending."""

    def __init__(self, database: Database, order: DeliveryOrder) -> None:
        self._database = database
        self._order = order
        self._topics = OrderedTopics(database)
        self._known: dict[str, Statements] = {}

    def claim(
        self, name: str, limit: int, *, lease: float, ordered: bool, most_bytes: int | None, route: str | None
    ) -> Sequence[Claim]:
        """See Lending.claim."""
        store = self._database
        if limit < 1:
            return []
        if not self._any_due(name, route, ordered=ordered):
            return []
        with store.write():
            # The time is read with the lock held: a wait for it does not eat into the lease.
            now = store.now()
            head, paused_at, mode = store.of_queue(name, "head, paused_at, ordered")
            if mode != ordered:
                raise wrong_order(name, ordered=ordered)
            if paused_at is not None:
                return []
            chosen = (
                self._heads(name, limit, head, now, most_bytes, route)
                if ordered
                else self._longest_due(name, limit, head, now, most_bytes, route)
            )
            ids = [*chosen.again, *(row[0] for row in chosen.fresh)]
            token = self._lend(name, ids, until=now + lease) if ids else 0
            if chosen.expired:
                self._note_lapse(name, ids[0])
            count = 0 if chosen.expired else len(ids)
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

    def _note_lapse(self, name: str, message_id: int) -> None:
        """Count the attempt of the worker whose lease ran out."""
        database = self._database
        database.rows(f"UPDATE {database.table(name)} SET {ONE_MORE} WHERE id = ?", (message_id,))
        database.rows("UPDATE fmq_queue SET failed = failed + 1 WHERE name = ?", (name,))
        note_attempt(database, name, message_id, cause=Cause.WORKER_DIED, reason=LAPSED, worker="")

    def _statements(self, name: str) -> Statements:
        bare = self._database.bare_table(name)
        known = self._known.get(bare)
        if known is None:
            known = self._known[bare] = Statements.of(
                self._database.table(name), self._database.lent(name), self._database.attempts(name)
            )
        return known

    def _any_due(self, name: str, route: str | None, *, ordered: bool) -> bool:
        """Whether a look with the lock held is worth while. Raises WrongOrder."""
        store = self._database
        with store.read():
            mode, is_due = store.rows(
                self._statements(name).any_due, {"name": name, "now": store.now(), "route": route}
            )[0]
        if mode is None:
            self._order.begin(name, ordered=ordered)
        elif mode != ordered:
            raise wrong_order(name, ordered=ordered)
        return bool(is_due)

    def _lend(self, name: str, ids: Sequence[int], *, until: float) -> int:
        """Note who holds these messages; the token of the claim."""
        found = self._database.rows("UPDATE fmq_token SET token = token + 1 RETURNING token")
        if not found:
            raise apsw.SQLError("fmq_token has no row")
        token = int(found[0][0])
        self._database.rows(
            self._statements(name).lend,
            {"ids": json.dumps(ids), "until": until, "token": token},
        )
        return token

    def _longest_due(
        self, name: str, limit: int, head: int, now: float, most_bytes: int | None, route: str | None
    ) -> _Chosen:
        """What has waited longest: a message that was never lent since it came, another one since it was due again.

        Before these comes what is set aside for ``route``.
        """
        statements = self._statements(name)
        parked = [] if route is None else self._again(statements.parked, route, limit)
        if len(parked) == limit:
            return self._choose(name, parked, (), limit, head, most_bytes)
        known = {one.id for one in parked}
        again = [*parked, *(one for one in self._again(statements.again, now, limit) if one.id not in known)]
        try:
            unread = statements.unread if most_bytes is None else statements.unread_at_sight
            with closing(self._database.sql.execute(unread, (head, limit))) as rows:
                return self._choose(name, again, rows, limit, head, most_bytes)
        except UnicodeDecodeError:  # somebody's own INSERT
            with closing(self._database.sql.execute(statements.unread_as_bytes, (head, limit))) as rows:
                return self._choose(name, again, rows, limit, head, most_bytes)

    def _again(self, statement: str, value: object, limit: int) -> list[_Again]:
        return [_Again(*row) for row in self._database.rows(statement, (value, limit))]

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
                if one.suspect:
                    if not fresh and not ids:
                        return _Chosen([], [one.id], head, suspect=True, expired=bool(one.expired))
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
            last = self._database.rows(f"SELECT max(id) FROM {self._database.table(name)}")[0][0]
            return _Chosen(fresh, ids, max(head, last or 0), large=large)
        return _Chosen(fresh, ids, fresh[-1][0] if fresh else head, large=large)

    def _heads(
        self, name: str, limit: int, head: int, now: float, most_bytes: int | None, route: str | None
    ) -> _Chosen:
        ids, suspect, expired = self._topics.heads(name, limit, now, most_bytes, route)
        return _Chosen([], ids, self._past_settled(name, head), suspect, expired)

    def _past_settled(self, name: str, head: int) -> int:
        """How far the head may go, so that nobody walks through what is settled: up to what was never lent."""
        table, lent = self._database.table(name), self._database.lent(name)
        first, last = self._database.rows(
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
