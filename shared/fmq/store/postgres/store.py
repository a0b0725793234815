"""All roles of a store, in a PostgreSQL database."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

from fmq.message import Claim, Incoming, Receipt, Terms
from fmq.outcome import Settlement
from fmq.store.keys import digest
from fmq.store.options import NO_TERMS, Retention
from fmq.store.postgres import registry
from fmq.store.postgres.figures import FiguresPart
from fmq.store.postgres.insertion import Insertion, receipt_lock
from fmq.store.postgres.lending.claims import Claims
from fmq.store.postgres.lending.delivery_order import DeliveryOrder
from fmq.store.postgres.lending.parking import ParkingPart
from fmq.store.postgres.lending.settlements import Settlements
from fmq.store.postgres.moving.part import MovingPart
from fmq.store.postgres.notes import NotesPart
from fmq.store.postgres.operations import OperatingPart
from fmq.store.postgres.pages.audit import AuditPart
from fmq.store.postgres.pages.history import HistoryPart
from fmq.store.postgres.pages.reading import ReadingPart
from fmq.store.postgres.pages.services import ServicesPart
from fmq.store.postgres.queues import Queues
from fmq.store.postgres.server.session import Session
from fmq.store.postgres.upkeep import Upkeep
from fmq.store.postgres.watching import WatchingPart

# A put of this session whose outcome the caller does not know may be under way still, on a connection that has ended. It is over
# once its lock is free.
_RECEIPTS = b"SELECT number, data FROM fmq_receipt WHERE session = %(session)s ORDER BY number"
_FORGET_RECEIPTS = b"DELETE FROM fmq_receipt WHERE session = %(session)s"


class PostgresStore(
    FiguresPart,
    ParkingPart,
    MovingPart,
    OperatingPart,
    ReadingPart,
    WatchingPart,
    NotesPart,
    AuditPart,
    ServicesPart,
    HistoryPart,
):
    """One session with a store (fmq.store.roles says what each method promises)."""

    def __init__(self, session: Session) -> None:
        queues = Queues(session)
        super().__init__(queues)
        self._order = DeliveryOrder(queues)
        self._claims = Claims(queues, self._order)
        self._settlements = Settlements(queues)
        self._insertion = Insertion(queues)
        self._upkeep = Upkeep(queues)

    def declare(self, name: str) -> None:
        registry.declare(self._queues, name)

    def delete_queue(self, name: str) -> bool:
        return registry.delete(self._queues, name)

    def names(self) -> Sequence[str]:
        return self._queues.names()

    def unsettled(self) -> Sequence[str] | None:
        return None  # each queue has tables of counters of its own

    def put(
        self,
        messages: Sequence[Incoming],
        *,
        terms: Mapping[int, Terms] = NO_TERMS,
        receipt: Receipt | None = None,
    ) -> Sequence[int]:
        return self._insertion.put(messages, terms, receipt)

    def receipts(self, session: str) -> Sequence[tuple[int, bytes]]:
        rows = self._session.transaction([receipt_lock(session), (_RECEIPTS, {"session": digest(session)})])[1]
        return [(number, bytes(data)) for number, data in rows]

    def forget_receipts(self, session: str) -> None:
        self._session.transaction([receipt_lock(session), (_FORGET_RECEIPTS, {"session": digest(session)})])

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

    def note_minute(self) -> bool:
        return self._note_minute(self.all_stats)

    def maintain(
        self, retention: Retention, *, limit: int = 1_000, on_discarded: Callable[[str, int], None] | None = None
    ) -> int:
        return self._upkeep.step(self.names(), retention, limit, on_discarded)

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
