"""Opens a store: looks first, and changes nothing that is refused."""

from functools import partial

from fmq.clock import Clock
from fmq.errors import NoStore, StoreRefused
from fmq.store.options import StoreOptions
from fmq.store.postgres.queues import LOCK, SCHEMA_LOCK
from fmq.store.postgres.schema.migrations import migrate
from fmq.store.postgres.schema.recognition import recognize
from fmq.store.postgres.server.session import Ask, Session
from fmq.store.postgres.server.target import target_of
from fmq.store.postgres.statements import statement
from fmq.store.postgres.store import PostgresStore
from fmq.store.postgres.timekeeping import StoreTime
from fmq.store.recognition import Kind


def open_postgres(url: str, options: StoreOptions, *, clock: Clock, create: bool) -> PostgresStore:
    """See fmq.store.backends.Backend.open."""
    target = target_of(url)
    session = Session(target, options, StoreTime(clock))
    try:
        _prepare(session, create=create)
    except BaseException:
        session.close()
        raise
    return PostgresStore(session)


def _prepare(session: Session, *, create: bool) -> None:
    name = session.target.name
    found = session.interactive(recognize)
    if why := found.refusal(name):
        raise StoreRefused(why)
    if found.kind is Kind.EMPTY and not create:
        raise NoStore(f"{name} has no store yet. A listener creates it: fmq listen TOPIC. Is FMQ_QUEUE_URL right?")
    if found.kind is not Kind.CURRENT:
        session.interactive(_bring_up_to_date)
    session.on_connected = partial(_require_usable, name)


def _require_usable(name: str, ask: Ask) -> None:
    """Raise StoreRefused if a newer fmq has changed the tables meanwhile."""
    if why := recognize(ask).refusal(name):
        raise StoreRefused(why)


def _bring_up_to_date(ask: Ask) -> None:
    ask(statement(LOCK, SCHEMA_LOCK), {})
    found = recognize(ask)  # another process may have been faster
    if found.kind in (Kind.EMPTY, Kind.OLDER):
        migrate(ask, found.version)
