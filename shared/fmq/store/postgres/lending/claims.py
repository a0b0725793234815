"""Lends messages."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from operator import itemgetter

from fmq.errors import UnknownQueue
from fmq.message import Claim
from fmq.outcome import Cause
from fmq.store.ordering import wrong_order
from fmq.store.postgres.codec import decode_message, storable
from fmq.store.postgres.lending.attempts import LAPSED
from fmq.store.postgres.lending.claim_statements import CLAIM, CLAIM_FOR_ROUTE, CLAIM_IN_ORDER, GIVE_BACK
from fmq.store.postgres.lending.delivery_order import DeliveryOrder
from fmq.store.postgres.queues import LOCK, LOCK_SHARED, Queues
from fmq.store.postgres.server.session import Rows
from fmq.store.postgres.server.translating import OutcomeUnknown
from fmq.store.postgres.statements import statement

_TOKEN_BITS = 62
_NO_LIMIT = 2**62
_ORDERED, _PAUSED, _SUSPECT, _FAILED, _TOPIC, _NOW, _STORED_AT = range(7)
_MESSAGE = slice(7, None)
_ID, _PROPERTIES = 7, 13


class Claims:
    """The lending half of the role Lending. Remembers the topic where the last ordered claim ended."""

    def __init__(self, queues: Queues, order: DeliveryOrder) -> None:
        self._queues = queues
        self._order = order
        self._last_topic: dict[str, str] = {}
        self._doubtful: list[tuple[str, int]] = []
        """Queues and tokens of claims whose outcome is unknown: the server may have lent messages that nobody received."""

    def claim(
        self, name: str, limit: int, *, lease: float, ordered: bool, most_bytes: int | None, route: str | None
    ) -> Sequence[Claim]:
        """See Lending.claim."""
        if limit < 1:
            return []
        self._give_back()
        # Random, since a sequence can repeat after a primary was lost with its last commits.
        token = secrets.randbits(_TOKEN_BITS)
        values = {
            "ordered": ordered,
            "limit": limit,
            "lease": lease,
            "token": token,
            "most_bytes": _NO_LIMIT if most_bytes is None else most_bytes,
            "after": self._last_topic.get(name, ""),
            "cause": Cause.WORKER_DIED.value,
            "reason": LAPSED,
            "route": None if route is None else storable(route),
        }
        try:
            rows = self._rows(name, values, ordered=ordered)
            if rows and rows[0][_ORDERED] is None:
                self._order.begin(name, ordered=ordered)
                rows = self._rows(name, values, ordered=ordered)
        except OutcomeUnknown:
            self._doubtful.append((name, token))
            raise
        if rows and rows[0][_ORDERED] != ordered:
            raise wrong_order(name, ordered=ordered)
        if not rows or rows[0][_ID] is None:
            return []
        if ordered:
            # The claim goes round: up to the last topic, and then on from the first one. The database compares as Python does.
            last = self._last_topic.get(name, "")
            topics = [str(row[_TOPIC]) for row in rows]
            self._last_topic[name] = max([one for one in topics if one <= last] or topics)
        rows.sort(key=itemgetter(_ID))
        return [
            Claim(
                decode_message(name, row[_MESSAGE], row[_FAILED]),
                token,
                row[_NOW] + lease,
                row[_SUSPECT],
                0.0 if row[_PROPERTIES] is None else row[_NOW] - row[_STORED_AT],
            )
            for row in rows
        ]

    def _rows(self, name: str, values: Mapping[str, object], *, ordered: bool) -> Rows:
        number = self._queues.number(name)
        in_turn = CLAIM if values["route"] is None else CLAIM_FOR_ROUTE
        template = CLAIM_IN_ORDER if ordered else in_turn
        # The lock first and then a new statement, which sees what the last holder of the lock has committed.
        return self._queues.session.transaction(
            [
                (statement(LOCK if ordered else LOCK_SHARED, number), {}),
                (statement(template, number), self._queues.values(values)),
            ]
        )[1]

    def _give_back(self) -> None:
        """Give back what claims of unknown outcome have lent. The queue's lock is free once such a claim is over."""
        while self._doubtful:
            name, token = self._doubtful[-1]
            with suppress(UnknownQueue):
                number = self._queues.number(name)
                values = self._queues.values({"token": token})
                self._queues.session.transaction(
                    [(statement(LOCK, number), {}), (statement(GIVE_BACK, number), values)]
                )
            self._doubtful.pop()
