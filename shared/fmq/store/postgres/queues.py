"""The registry of queues, and what all parts of the store share: the session and the notifications."""

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from fmq.errors import UnknownQueue
from fmq.store.keys import digest
from fmq.store.nearest import no_queue
from fmq.store.postgres.server.session import Rows, Session, Values
from fmq.store.postgres.statements import statement

LOCKS = 0x464D5131
"""The class of the advisory locks, "FMQ1". Their second number is that of a queue, or one of the next two."""
SCHEMA_LOCK, UPKEEP_LOCK = 0, -1
LOCK = f"SELECT pg_advisory_xact_lock({LOCKS}, {{q}})"
LOCK_SHARED = f"SELECT pg_advisory_xact_lock_shared({LOCKS}, {{q}})"
TRY_LOCK = f"SELECT pg_try_advisory_xact_lock({LOCKS}, {{q}})"
_NOTIFY_SECONDS = 0.05
_NUMBER = b"SELECT number FROM fmq_queue WHERE digest = %(digest)s"
_ALL = b"SELECT number FROM fmq_queue WHERE number = ANY (%(numbers)b::bigint[])"


class Queues:
    """Knows the number of each queue, which its tables are named after. A number belongs to one queue for good."""

    def __init__(self, session: Session) -> None:
        self.session = session
        session.on_missing_table = self._require_queues
        self._numbers: dict[str, int] = {}
        self._known_in = 0
        self._notified_at = float("-inf")

    def number(self, name: str) -> int:
        """The number of a queue. Raises UnknownQueue."""
        if self._known_in != self.session.connections:
            # Another primary may lack the last queues, if it was not synchronous.
            self._numbers.clear()
            self._known_in = self.session.connections
        known = self._numbers.get(name)
        if known is None:
            rows = self.session.rows(_NUMBER, {"digest": digest(name)})
            if not rows:
                raise self.unknown(name, self.names())
            self._known_in = self.session.connections
            known = self._numbers[name] = int(rows[0][0])
        return known

    def unknown(self, name: str, others: Sequence[str] | None = None) -> UnknownQueue:
        """The error for a queue that is not there, or not any more. Forgets its number. With ``others`` it names the nearest."""
        self._numbers.pop(name, None)
        where = self.session.target.name
        return UnknownQueue(f"{where} has no queue {name!r}" if others is None else no_queue(name, where, others))

    def _require_queues(self) -> None:
        """After a statement met no table: raise UnknownQueue if somebody has deleted a queue that this session knew."""
        left = {row[0] for row in self.session.rows(_ALL, {"numbers": list(self._numbers.values())})}
        gone = [name for name, number in self._numbers.items() if number not in left]
        for name in gone:
            del self._numbers[name]
        if gone:
            names = ", ".join(map(repr, gone))
            raise UnknownQueue(f"{names} was deleted from {self.session.target.name} meanwhile")

    def names(self) -> Sequence[str]:
        """See Lending.names."""
        return sorted(name for (name,) in self.session.rows(b"SELECT name FROM fmq_queue"))

    def has(self, name: str) -> bool:
        """Whether there is such a queue at the moment."""
        return bool(self.session.rows(_NUMBER, {"digest": digest(name)}))

    def registered(self, template: str, name: str) -> tuple[Any, ...]:
        """The one row that a statement reads of the queue's own row. Raises UnknownQueue if it is gone."""
        rows = self.rows(template, name)
        if not rows:
            raise self.unknown(name)
        return rows[0]

    def rows(self, template: str, name: str, values: Mapping[str, object] | None = None) -> Rows:
        """All rows of a queue's statement, which is a transaction of its own."""
        return self.session.rows(statement(template, self.number(name)), self.values(values or {}))

    def values(self, values: Values) -> Values:
        """``values`` with those that every statement may use."""
        return {"slot": self.session.slot, "notify": False, **values}

    def notifies(self) -> bool:
        """Whether the next commit wakes the sessions that wait: 20 times a second at most.

        Commits that notify wait for each other in the server. Those who are woken look again 50 ms later.
        """
        now = monotonic()
        if now - self._notified_at < _NOTIFY_SECONDS:
            return False
        self._notified_at = now
        return True
