"""Lends messages: those that were lent before and are due again, and new ones after the queue's head."""

import json
from collections.abc import Sequence
from contextlib import closing
from operator import itemgetter

import apsw

from fmq.message import Claim
from fmq.outcome import Cause
from fmq.store.ordering import wrong_order
from fmq.store.sqlite.attempts import LAPSED, note_attempt
from fmq.store.sqlite.codec import (
    decode_message,
)
from fmq.store.sqlite.database import Database
from fmq.store.sqlite.lending.claim_statements import Statements
from fmq.store.sqlite.lending.delivery_order import DeliveryOrder
from fmq.store.sqlite.lending.ordered import OrderedTopics
from fmq.store.sqlite.lending.runs import is_run
from fmq.store.sqlite.lending.taking import PROPERTIES, Again, Chosen, choose, since
from fmq.store.sqlite.schema.tables import ONE_MORE


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
            ids = [*chosen.again, *[row[0] for row in chosen.fresh]]
            token = self._lend(name, ids, until=now + lease, are_new=not chosen.again) if ids else 0
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
                    0.0 if row[PROPERTIES] is None else now - since(row),
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

    def _lend(self, name: str, ids: Sequence[int], *, until: float, are_new: bool) -> int:
        """Note who holds these messages; the token of the claim. ``are_new``: none of them was lent before."""
        found = self._database.rows("UPDATE fmq_token SET token = token + 1 RETURNING token")
        if not found:
            raise apsw.SQLError("fmq_token has no row")
        token = int(found[0][0])
        statements, values = self._statements(name), {"until": until, "token": token}
        if are_new and is_run(ids):
            self._database.rows(statements.lend_run, {**values, "first": ids[0], "last": ids[-1]})
        else:
            self._database.rows(statements.lend, {**values, "ids": json.dumps(ids)})
        return token

    def _longest_due(
        self, name: str, limit: int, head: int, now: float, most_bytes: int | None, route: str | None
    ) -> Chosen:
        """What has waited longest: a message that was never lent since it came, another one since it was due again.

        Before these comes what is set aside for ``route``.
        """
        statements = self._statements(name)

        def end() -> int:
            last = self._database.rows(f"SELECT max(id) FROM {self._database.table(name)}")[0][0]
            return last or 0

        parked = [] if route is None else self._again(statements.parked, route, limit)
        if len(parked) == limit:
            return choose(parked, (), limit, head, most_bytes, end)
        known = {one.id for one in parked}
        # The second of these takes 20 µs even where it finds nothing.
        due = self._again(statements.again, now, limit) if self._database.rows(statements.any_again, (now,)) else []
        again = [*parked, *(one for one in due if one.id not in known)]
        try:
            unread = statements.unread if most_bytes is None else statements.unread_at_sight
            with closing(self._database.sql.execute(unread, (head, limit))) as rows:
                return choose(again, rows, limit, head, most_bytes, end)
        except UnicodeDecodeError:  # somebody's own INSERT
            with closing(self._database.sql.execute(statements.unread_as_bytes, (head, limit))) as rows:
                return choose(again, rows, limit, head, most_bytes, end)

    def _again(self, statement: str, value: object, limit: int) -> list[Again]:
        return [Again(*row) for row in self._database.rows(statement, (value, limit))]

    def _heads(self, name: str, limit: int, head: int, now: float, most_bytes: int | None, route: str | None) -> Chosen:
        ids, suspect, expired = self._topics.heads(name, limit, now, most_bytes, route)
        return Chosen([], ids, self._past_settled(name, head), suspect, expired)

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
