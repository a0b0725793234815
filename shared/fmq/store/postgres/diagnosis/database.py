"""The server, then the database: is it a store, and is it well?"""

from collections.abc import Iterator

from fmq.clock import SYSTEM_CLOCK
from fmq.errors import QueueError, StoreRefused
from fmq.finding import Finding, ok, problem, warning
from fmq.store.options import StoreOptions
from fmq.store.postgres.diagnosis.cleaning import examine_cleaning
from fmq.store.postgres.diagnosis.connection import examine_connection
from fmq.store.postgres.diagnosis.replication import MIB, examine_replication
from fmq.store.postgres.schema.migrations import LATEST_VERSION
from fmq.store.postgres.schema.recognition import recognize
from fmq.store.postgres.server.session import Session
from fmq.store.postgres.server.target import Target
from fmq.store.postgres.statements import statement
from fmq.store.postgres.timekeeping import StoreTime
from fmq.store.recognition import Kind

_SERVER = b"SELECT version(), pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"
_OTHERS = b"""
    SELECT count(*) FROM pg_class JOIN pg_namespace AS space ON space.oid = relnamespace
    WHERE relkind IN ('r', 'p') AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%%'
    AND (relname NOT LIKE 'fmq\\_%%' OR nspname <> current_schema())
"""
_COUNTED = """
    SELECT ARRAY[sum(pending), sum(claimed), sum(done), sum(dead)]::bigint[] = ARRAY[
        (SELECT count(*) FROM fmq_due_{q} WHERE token IS NULL), (SELECT count(*) FROM fmq_due_{q} WHERE token IS NOT NULL),
        (SELECT count(*) FROM fmq_done_{q}), (SELECT count(*) FROM fmq_dead_{q})
    ] FROM fmq_count WHERE queue = {q}
"""


def diagnose_database(target: Target, options: StoreOptions, *, thorough: bool) -> Iterator[Finding]:
    """See fmq.store.backends.Backend.diagnose."""
    session = Session(target, StoreOptions(), StoreTime(SYSTEM_CLOCK))
    try:
        version, is_read_only = session.rows(_SERVER)[0]
        if is_read_only:
            yield problem(
                "server",
                f"{target.name} is a standby or read-only: nothing can be stored",
                "Name the primary in FMQ_QUEUE_URL, and leave out target_session_attrs.",
            )
            return
        yield ok("server", f"{target.name}: {version}")
        yield from examine_connection(session)
        yield from examine_replication(session, options.durability)
        yield from _database(session, thorough=thorough)
        yield from examine_cleaning(session)
    except StoreRefused as error:
        yield problem("server", str(error), "See the message. Nothing was changed.")
    except QueueError as error:
        yield problem("server", str(error), "Check FMQ_QUEUE_URL, the server, its log and the network.")
    finally:
        session.close()


def _database(session: Session, *, thorough: bool) -> Iterator[Finding]:
    name = session.target.name
    found = session.interactive(recognize)
    if why := found.refusal(name):
        yield problem("database", why, "Correct FMQ_QUEUE_URL if it names the wrong database.")
        return
    if found.kind is Kind.EMPTY:
        yield warning(
            "database",
            f"{name} has no store yet",
            "The listener makes it at its first start. Is FMQ_QUEUE_URL right?",
        )
    elif found.kind is Kind.OLDER:
        advice = f"The next start of a service migrates it to schema {LATEST_VERSION}. Make a backup first."
        yield warning("database", f"schema {found.version}", advice)
    else:
        size = session.rows(b"SELECT pg_database_size(current_database())")[0][0]
        yield ok("database", f"schema {found.version}, {size / MIB:,.1f} MiB")
    if others := session.rows(_OTHERS)[0][0]:
        yield warning(
            "other tables",
            f"the database holds {others} tables that are not this store's",
            "Give fmq a database of its own: a long transaction in the same one slows every claim.",
        )
    if thorough and found.kind is Kind.CURRENT:
        wrong = [
            str(queue)
            for number, queue in session.rows(b"SELECT number, name FROM fmq_queue")
            if not session.rows(statement(_COUNTED, number))[0][0]
        ]
        if wrong:
            yield problem("counters", f"differ from a full count: {', '.join(wrong)}", "Report it. Restore a backup.")
        else:
            yield ok("counters", "equal a full count")
