"""The Queue protocol on SQLite."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Self
from uuid import UUID, uuid4

from fmq.clock import Clock
from fmq.errors import StoreRefused, UnknownQueue
from fmq.message import Claim, DeadLetter, Incoming, Message, Pause, QueueStats, Receipt, StoreStats, Terms, Waiting
from fmq.outcome import Settlement
from fmq.queue import NO_TERMS, Retention, StoreOptions
from fmq.selection import Found, Selection, State
from fmq.sqlite import guard, insertion
from fmq.sqlite.claims import Claims
from fmq.sqlite.codec import NUMBER, as_count, as_identity, as_pause
from fmq.sqlite.connection import Store
from fmq.sqlite.names import table_name
from fmq.sqlite.operate import Operations
from fmq.sqlite.order import Order
from fmq.sqlite.schema import create_queue_table
from fmq.sqlite.settlements import Settlements
from fmq.sqlite.upkeep import Upkeep


class SqliteQueue:
    """A queue store in one SQLite file (see fmq.queue.Queue for what each method promises)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._order = Order(store)
        self._claims = Claims(store, self._order)
        self._settlements = Settlements(store)
        self._upkeep = Upkeep(store)
        self._operations = Operations(store)
        self._seen = -1

    def declare(self, name: str) -> None:
        with self._store.write() as sql:
            taken: dict[str, str] = dict(self._store.rows("SELECT name, table_name FROM fmq_queue"))
            if name not in taken:
                table = table_name(name, taken.values())
                create_queue_table(sql, queue=name, table=table, clock=self._store.clock)

    def names(self) -> Sequence[str]:
        with self._store.read():
            return [
                row[0]
                for row in self._store.rows("SELECT name FROM fmq_queue WHERE typeof(name) = 'text' ORDER BY name")
            ]

    def put(
        self,
        messages: Sequence[Incoming],
        *,
        terms: Mapping[int, Terms] = NO_TERMS,
        receipt: Receipt | None = None,
    ) -> Sequence[int]:
        return insertion.store(messages, self._store, terms=terms, receipt=receipt)

    def receipts(self, session: str) -> Sequence[tuple[int, bytes]]:
        with self._store.read():
            return self._store.rows(
                "SELECT number, data FROM fmq_receipt WHERE session = ? ORDER BY number", (session,)
            )

    def forget_receipts(self, session: str) -> None:
        with self._store.write() as sql:
            sql.execute("DELETE FROM fmq_receipt WHERE session = ?", (session,))

    def claim(
        self, name: str, limit: int, *, lease: float, ordered: bool = False, most_bytes: int | None = None
    ) -> Sequence[Claim]:
        return self._claims.claim(name, limit, lease=lease, ordered=ordered, most_bytes=most_bytes)

    def ordered(self, name: str) -> bool | None:
        return self._order.mode(name)

    def set_order(self, name: str, *, ordered: bool) -> None:
        self._order.change(name, ordered=ordered)

    def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Claim]:
        return self._settlements.extend(claims, lease=lease)

    def settle(self, settlements: Iterable[tuple[Claim, Settlement]]) -> Sequence[Claim]:
        return self._settlements.settle(settlements)

    def changed(self) -> bool:
        # https://sqlite.org/pragma.html#pragma_data_version: changes when another connection has committed.
        with self._store.read() as sql:
            version = int(sql.pragma("data_version"))
        seen, self._seen = self._seen, version
        return version != seen

    def stats(self, name: str) -> QueueStats:
        with self._store.read():
            rows = self._store.rows(
                "SELECT stored, pending, claimed, done, dead, paused_at, CAST(paused_reason AS BLOB) "
                "FROM fmq_queue WHERE name = ?",
                (name,),
            )
            if not rows:
                raise UnknownQueue(f"there is no queue {name!r}")
            stored, pending, claimed, done, dead = map(as_count, rows[0][:5])
            return QueueStats(
                name, stored, pending, claimed, done, dead, self._oldest_pending(name), as_pause(*rows[0][5:])
            )

    def _oldest_pending(self, name: str) -> float | None:
        """When the oldest pending message was received: the first that was never lent, or one that waits again."""
        table, lent = self._store.table(name), self._store.lent(name)
        found = self._store.rows(
            f"SELECT (SELECT {NUMBER.format('received_at')} FROM {table} AS message "
            "WHERE id > (SELECT head FROM fmq_queue WHERE name = ?) AND processed = 0 "
            f"AND NOT EXISTS (SELECT 1 FROM {lent} AS lent WHERE lent.id = message.id) ORDER BY id LIMIT 1), "
            f"(SELECT {NUMBER.format('oldest')} FROM (SELECT min(received_at) AS oldest FROM {lent} WHERE token IS NULL))",
            (name,),
        )[0]
        return min((at for at in found if at is not None), default=None)

    def store_stats(self) -> StoreStats:
        path = self._store.path
        wal = path.with_name(path.name + "-wal")
        with self._store.read():
            self._store.require_presence()
            disk = os.statvfs(path.parent)
            return StoreStats(
                database_bytes=path.stat().st_size,
                wal_bytes=wal.stat().st_size if wal.exists() else 0,
                free_disk_bytes=disk.f_bavail * disk.f_frsize,
            )

    def probe(self) -> None:
        # Really written, and more than a page: a full disk shows only when something has to grow.
        with self._store.write():
            self._store.see_clocks()

    def dead_letters(
        self,
        name: str,
        ids: Sequence[int] | None = None,
        *,
        limit: int = 100,
        after_id: int = 0,
        most_bytes: int | None = None,
    ) -> Sequence[DeadLetter]:
        return self._operations.dead_letters(name, ids, limit=limit, after_id=after_id, most_bytes=most_bytes)

    def requeue_dead(self, name: str, ids: Sequence[int] | None = None, *, limit: int = 1_000) -> int:
        return self._operations.requeue(name, State.DEAD, ids, limit=limit)

    def requeue_done(self, name: str, ids: Sequence[int]) -> int:
        return self._operations.requeue(name, State.DONE, ids, limit=len(ids))

    def purge_dead(self, name: str, ids: Sequence[int] | None = None, *, limit: int = 1_000) -> int:
        return self._operations.purge_dead(name, ids, limit=limit)

    def find(
        self, name: str, which: Selection, *, after_id: int = 0, limit: int = 1_000, within: int = 10_000
    ) -> Found:
        return self._operations.find(name, which, after_id=after_id, limit=limit, within=within)

    def messages(self, name: str, ids: Sequence[int], *, most_bytes: int | None = None) -> Sequence[Message]:
        return self._operations.messages(name, ids, most_bytes)

    def waiting(self, name: str, ids: Sequence[int]) -> Mapping[int, Waiting]:
        return self._operations.waiting(name, ids)

    def next_retry(self, name: str) -> int | None:
        return self._operations.next_retry(name)

    def pause(self, name: str, reason: str) -> bool:
        return self._operations.pause(name, reason)

    def resume(self, name: str) -> bool:
        return self._operations.resume(name)

    def paused(self, name: str) -> Pause | None:
        return self._operations.paused(name)

    def identity(self) -> UUID:
        with self._store.read():
            known = as_identity(self._store.note("identity"))
        if known is None:
            with self._store.write():
                known = as_identity(self._store.note("identity")) or uuid4()
                self._store.set_note("identity", str(known))
        return known

    def remember(self, key: str, value: str) -> None:
        with self._store.write():
            self._store.set_note(key, value)

    def recall(self, key: str) -> str | None:
        with self._store.read():
            return self._store.note(key)

    def exchange(self, key: str, old: str | None, new: str) -> bool:
        with self._store.write():
            if self._store.note(key) != old:
                return False
            self._store.set_note(key, new)
            return True

    def maintain(self, retention: Retention, *, limit: int = 1_000) -> int:
        return self._upkeep.step(self.names(), retention, limit)

    def close(self) -> None:
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_sqlite(url: str, options: StoreOptions, *, clock: Clock, create: bool) -> SqliteQueue:
    """Open the file that a ``sqlite:///`` URL names (see fmq.queue.open_queue)."""
    path = guard.path_of(url)
    if not create and not path.exists():
        raise StoreRefused(f"there is no database {path}: has a listener run yet, and is this its folder?")
    return SqliteQueue(Store(path, options, clock))
