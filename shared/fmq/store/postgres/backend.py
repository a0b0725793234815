"""The backend of URLs that begin with ``postgresql:``."""

from collections.abc import Callable, Iterable

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.errors import QueueError, StoreRefused
from fmq.finding import Finding
from fmq.store.options import StoreOptions
from fmq.store.postgres.diagnosis.database import diagnose_database
from fmq.store.postgres.opening import open_postgres
from fmq.store.postgres.schema.recognition import recognize
from fmq.store.postgres.server.session import Session
from fmq.store.postgres.server.target import target_of
from fmq.store.postgres.store import PostgresStore
from fmq.store.postgres.timekeeping import StoreTime


class PostgresBackend:
    """One database per store (see fmq.store.backends.Backend for what each method promises)."""

    is_local = False

    def open(self, url: str, options: StoreOptions, *, clock: Clock, create: bool) -> PostgresStore:
        return open_postgres(url, options, clock=clock, create=create)

    def diagnose(self, url: str, options: StoreOptions, *, thorough: bool) -> Iterable[Finding]:
        return diagnose_database(target_of(url), options, thorough=thorough)

    def back_up(self, url: str, target: str, *, on_progress: Callable[[int, int], None]) -> int:  # noqa: ARG002 - as above
        raise QueueError(
            f"{target_of(url).name} is not backed up by fmq. Use pg_dump for a copy, or continuous archiving for the "
            'last second before a fault (postgresql.org, "Backup and Restore")'
        )

    def set_aside(self, url: str) -> str:
        raise StoreRefused(
            f"{target_of(url).name} is not set aside by fmq. Stop all services, rename the database "
            "(ALTER DATABASE fmq RENAME TO …) and create an empty one"
        )

    def is_store(self, url: str) -> bool:
        session = Session(target_of(url), StoreOptions(), StoreTime(SYSTEM_CLOCK))
        try:
            return session.interactive(recognize).is_store
        finally:
            session.close()

    def same(self, url: str, other: str) -> bool:
        return not target_of(url).places.isdisjoint(target_of(other).places)

    def protect(self, url: str) -> None:
        """Nothing that a handler opens can break a server's locks."""


BACKEND = PostgresBackend()
