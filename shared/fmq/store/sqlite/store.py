"""All roles of a store, in one SQLite file."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self
from uuid import UUID, uuid4

from fmq.message import (
    Claim,
    DeadLetter,
    Incoming,
    Message,
    MessageId,
    Pause,
    Receipt,
    Terms,
    Waiting,
)
from fmq.outcome import Settlement
from fmq.store.options import NO_TERMS, Retention
from fmq.store.selection import Found, Selection, State
from fmq.store.sqlite import insertion, registry
from fmq.store.sqlite.codec import as_identity
from fmq.store.sqlite.database import Database
from fmq.store.sqlite.figures import FiguresPart
from fmq.store.sqlite.file.wakeup import Alarm
from fmq.store.sqlite.lending.claims import Claims
from fmq.store.sqlite.lending.delivery_order import DeliveryOrder
from fmq.store.sqlite.lending.parking import ParkingPart
from fmq.store.sqlite.lending.settlements import Settlements
from fmq.store.sqlite.moving.part import MovingPart
from fmq.store.sqlite.operations import Operations
from fmq.store.sqlite.pages.audit import AuditPart
from fmq.store.sqlite.pages.history import HistoryPart
from fmq.store.sqlite.pages.reading import ReadingPart
from fmq.store.sqlite.pages.services import ServicesPart
from fmq.store.sqlite.upkeep import Upkeep

_LOOK_SECONDS = 0.01


class SqliteStore(FiguresPart, ParkingPart, MovingPart, ReadingPart, AuditPart, ServicesPart, HistoryPart):
    """One connection to a store (fmq.store.roles says what each method promises)."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._order = DeliveryOrder(database)
        self._claims = Claims(database, self._order)
        self._settlements = Settlements(database)
        self._upkeep = Upkeep(database)
        self._operations = Operations(database)
        self._seen = -1
        self._alarm: Alarm | None = None

    def declare(self, name: str) -> None:
        registry.declare(self._database, name)

    def delete_queue(self, name: str) -> bool:
        return registry.delete(self._database, name)

    def names(self) -> Sequence[str]:
        with self._database.read():
            return [
                row[0]
                for row in self._database.rows("SELECT name FROM fmq_queue WHERE typeof(name) = 'text' ORDER BY name")
            ]

    def unsettled(self) -> Sequence[str]:
        with self._database.read():
            return [
                row[0]
                for row in self._database.rows(
                    "SELECT name FROM fmq_queue WHERE (pending > 0 OR claimed > 0) AND typeof(name) = 'text'"
                )
            ]

    def put(
        self,
        messages: Sequence[Incoming],
        *,
        terms: Mapping[int, Terms] = NO_TERMS,
        receipt: Receipt | None = None,
    ) -> Sequence[int]:
        return insertion.store(messages, self._database, terms=terms, receipt=receipt)

    def receipts(self, session: str) -> Sequence[tuple[int, bytes]]:
        with self._database.read():
            return self._database.rows(
                "SELECT number, data FROM fmq_receipt WHERE session = ? ORDER BY number", (session,)
            )

    def forget_receipts(self, session: str) -> None:
        with self._database.write() as sql:
            sql.execute("DELETE FROM fmq_receipt WHERE session = ?", (session,))

    def claim(
        self,
        name: str,
        limit: int,
        *,
        lease: float,
        ordered: bool = False,
        most_bytes: int | None = None,
        route: str | None = None,
    ) -> Sequence[Claim]:
        return self._claims.claim(name, limit, lease=lease, ordered=ordered, most_bytes=most_bytes, route=route)

    def ordered(self, name: str) -> bool | None:
        return self._order.mode(name)

    def set_order(self, name: str, *, ordered: bool) -> None:
        self._order.change(name, ordered=ordered)

    def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Claim]:
        return self._settlements.extend(claims, lease=lease)

    def settle(self, settlements: Iterable[tuple[Claim, Settlement]], *, worker: str = "") -> Sequence[Claim]:
        return self._settlements.settle(settlements, worker=worker)

    def wait(self, timeout: float) -> bool:
        end = time.monotonic() + timeout  # the real clock, since other processes commit in real time
        while not self._has_changed():
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, _LOOK_SECONDS))
        return True

    def alarm(self) -> int | None:
        if self._alarm is None:
            self._alarm = Alarm(self._database.folder)
        return self._alarm.fileno

    def _has_changed(self) -> bool:
        if self._alarm:
            self._alarm.clear()
        # https://sqlite.org/pragma.html#pragma_data_version: changes when another connection has committed.
        with self._database.read() as sql:
            version = int(sql.pragma("data_version"))
        seen, self._seen = self._seen, version
        return version != seen

    def dead_letters(
        self,
        name: str,
        ids: Sequence[MessageId] | None = None,
        *,
        limit: int = 100,
        after_id: MessageId | None = None,
        most_bytes: int | None = None,
    ) -> Sequence[DeadLetter]:
        return self._operations.dead_letters(name, ids, limit=limit, after_id=after_id, most_bytes=most_bytes)

    def requeue_dead(self, name: str, ids: Sequence[MessageId] | None = None, *, limit: int = 1_000) -> int:
        return self._operations.requeue(name, State.DEAD, ids, limit=limit)

    def requeue_done(self, name: str, ids: Sequence[MessageId]) -> int:
        return self._operations.requeue(name, State.DONE, ids, limit=len(ids))

    def purge_dead(self, name: str, ids: Sequence[MessageId] | None = None, *, limit: int = 1_000) -> int:
        return self._operations.purge_dead(name, ids, limit=limit)

    def delete_messages(self, name: str, ids: Sequence[MessageId], *, state: State = State.ANY) -> int:
        return self._operations.delete_messages(name, ids, state)

    def find(
        self,
        name: str,
        which: Selection,
        *,
        after_id: MessageId | None = None,
        limit: int = 1_000,
        within: int = 10_000,
    ) -> Found:
        return self._operations.find(name, which, after_id=after_id, limit=limit, within=within)

    def messages(self, name: str, ids: Sequence[MessageId], *, most_bytes: int | None = None) -> Sequence[Message]:
        return self._operations.messages(name, ids, most_bytes)

    def waiting(self, name: str, ids: Sequence[MessageId]) -> Mapping[MessageId, Waiting]:
        return self._operations.waiting(name, ids)

    def next_retry(self, name: str) -> MessageId | None:
        return self._operations.next_retry(name)

    def pause(self, name: str, reason: str) -> bool:
        return self._operations.pause(name, reason)

    def resume(self, name: str) -> bool:
        return self._operations.resume(name)

    def paused(self, name: str) -> Pause | None:
        return self._operations.paused(name)

    def identity(self) -> UUID:
        with self._database.read():
            known = as_identity(self._database.note("identity"))
        if known is None:
            with self._database.write():
                known = as_identity(self._database.note("identity")) or uuid4()
                self._database.set_note("identity", str(known))
        return known

    def remember(self, key: str, value: str) -> None:
        with self._database.write():
            self._database.set_note(key, value)

    def recall(self, key: str) -> str | None:
        with self._database.read():
            return self._database.note(key)

    def exchange(self, key: str, old: str | None, new: str) -> bool:
        with self._database.write():
            if self._database.note(key) != old:
                return False
            self._database.set_note(key, new)
            return True

    def now(self) -> float:
        return self._database.now()

    def note_minute(self) -> bool:
        return self._note_minute(self.all_stats)

    def maintain(
        self, retention: Retention, *, limit: int = 1_000, on_discarded: Callable[[str, int], None] | None = None
    ) -> int:
        return self._upkeep.step(self.names(), retention, limit, on_discarded)

    def close(self) -> None:
        if self._alarm:
            self._alarm.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
