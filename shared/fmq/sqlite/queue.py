"""The Queue protocol on SQLite."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Self
from uuid import UUID, uuid4

from fmq.clock import Clock
from fmq.errors import StoreRefused, UnknownQueue
from fmq.message import Claim, DeadLetter, Incoming, QueueStats, StoreStats
from fmq.outcome import Settlement
from fmq.queue import Retention, StoreOptions
from fmq.sqlite import guard
from fmq.sqlite.claims import Claims
from fmq.sqlite.codec import MESSAGE_COLUMNS, decode_message, encode_properties
from fmq.sqlite.connection import Store
from fmq.sqlite.names import table_name
from fmq.sqlite.schema import create_queue_table, ready_index
from fmq.sqlite.upkeep import Upkeep


class SqliteQueue:
    """A queue store in one SQLite file (see fmq.queue.Queue for what each method promises)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._claims = Claims(store)
        self._upkeep = Upkeep(store)
        self._seen = -1

    def declare(self, name: str) -> None:
        with self._store.write() as sql:
            taken: dict[str, str] = dict(self._store.rows("SELECT name, table_name FROM fmq_queue"))
            if name not in taken:
                table = table_name(name, taken.values())
                create_queue_table(sql, queue=name, table=table, clock=self._store.clock)

    def names(self) -> Sequence[str]:
        with self._store.read():
            return [row[0] for row in self._store.rows("SELECT name FROM fmq_queue ORDER BY name")]

    def put(self, messages: Sequence[Incoming]) -> None:
        groups: dict[str, list[Incoming]] = defaultdict(list)
        for message in messages:
            groups[message.queue].append(message)
        with self._store.write() as sql:
            now = self._store.now()
            for name, group in groups.items():
                sql.executemany(
                    "INSERT INTO "
                    + self._store.table(name)
                    + " (topic, payload, received_at, qos, retain, properties, available_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [
                        (
                            one.topic,
                            one.payload,
                            one.received_at,
                            one.qos,
                            one.retain,
                            encode_properties(one.properties),
                            now,
                        )
                        for one in group
                    ],
                )
                # One statement a batch, where a trigger would be one a row (docs/adr/0007).
                sql.execute(
                    "UPDATE fmq_queue SET stored = stored + ?1, pending = pending + ?1 WHERE name = ?2",
                    (len(group), name),
                )

    def claim(
        self, name: str, limit: int, *, lease: float, ordered: bool = False, most_bytes: int | None = None
    ) -> Sequence[Claim]:
        return self._claims.claim(name, limit, lease=lease, ordered=ordered, most_bytes=most_bytes)

    def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Claim]:
        return self._claims.extend(claims, lease=lease)

    def settle(self, settlements: Iterable[tuple[Claim, Settlement]]) -> Sequence[Claim]:
        return self._claims.settle(settlements)

    def changed(self) -> bool:
        # https://sqlite.org/pragma.html#pragma_data_version: changes when another connection has committed.
        with self._store.read() as sql:
            version = int(sql.pragma("data_version"))
        seen, self._seen = self._seen, version
        return version != seen

    def stats(self, name: str) -> QueueStats:
        with self._store.read():
            rows = self._store.rows(
                "SELECT stored, pending, claimed, done, dead FROM fmq_queue WHERE name = ?", (name,)
            )
            if not rows:
                raise UnknownQueue(f"there is no queue {name!r}")
            stored, pending, claimed, done, dead = rows[0]
            return QueueStats(name, stored, pending, claimed, done, dead, self._oldest_pending(name))

    def _oldest_pending(self, name: str) -> float | None:
        """When the oldest pending message was received.

        A message is due when it comes in, and later only after a failed attempt. So the first in line is older than
        every message that was never tried, and the others have an index of their own.
        """
        table = self._store.table(name)
        ready = ready_index(self._store.bare_table(name))
        first, retried = self._store.rows(
            f"SELECT (SELECT received_at FROM {table} INDEXED BY {ready} WHERE processed = 0 AND token IS NULL "
            "ORDER BY available_at, id LIMIT 1), "
            f"(SELECT min(received_at) FROM {table} WHERE processed = 0 AND token IS NULL AND retry_count > 0)"
        )[0]
        return min((at for at in (first, retried) if at is not None), default=None)

    def store_stats(self) -> StoreStats:
        path = self._store.path
        wal = path.with_name(path.name + "-wal")
        disk = os.statvfs(path.parent)
        return StoreStats(
            database_bytes=path.stat().st_size,
            wal_bytes=wal.stat().st_size if wal.exists() else 0,
            free_disk_bytes=disk.f_bavail * disk.f_frsize,
        )

    def probe(self) -> None:
        # Really written, and more than a page: a full disk shows only when something has to grow.
        with self._store.write():
            self._store.set_note("probe", str(self._store.wall()))

    def dead_letters(self, name: str, *, limit: int = 100, after_id: int = 0) -> Sequence[DeadLetter]:
        with self._store.read():
            rows = self._store.rows(
                f"SELECT dead_at, reason, {MESSAGE_COLUMNS} FROM {self._store.table(name)} "
                "WHERE dead_at IS NOT NULL AND id > ? ORDER BY id LIMIT ?",
                (after_id, limit),
            )
        return [DeadLetter(decode_message(name, row[2:]), row[0], row[1] or "") for row in rows]

    def requeue_dead(self, name: str, ids: Sequence[int] | None = None, *, limit: int = 1_000) -> int:
        change = "UPDATE {} SET processed = 0, dead_at = NULL, settled_at = NULL, retry_count = 0, available_at = :now"
        return self._change_dead(change, name, ids, limit, {"now": self._store.now()})

    def purge_dead(self, name: str, ids: Sequence[int] | None = None, *, limit: int = 1_000) -> int:
        return self._change_dead("DELETE FROM {}", name, ids, limit, {})

    def _change_dead(
        self, change: str, name: str, ids: Sequence[int] | None, limit: int, values: dict[str, float]
    ) -> int:
        table = self._store.table(name)
        which = "SELECT value FROM json_each(:ids)"
        if ids is None:
            which = f"SELECT id FROM {table} WHERE dead_at IS NOT NULL ORDER BY id LIMIT :limit"
        with self._store.write() as sql:
            sql.execute(
                f"{change.format(table)} WHERE dead_at IS NOT NULL AND id IN ({which})",
                {**values, "ids": json.dumps(list(ids or ())), "limit": limit},
            )
            return sql.changes()

    def identity(self) -> UUID:
        with self._store.read():
            known = self._store.note("identity")
        if known is None:
            with self._store.write():
                known = self._store.note("identity") or str(uuid4())
                self._store.set_note("identity", known)
        return UUID(known)

    def remember(self, key: str, value: str) -> None:
        with self._store.write():
            self._store.set_note(key, value)

    def recall(self, key: str) -> str | None:
        with self._store.read():
            return self._store.note(key)

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
