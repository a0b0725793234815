"""What a store tells of its server, on real servers with real standbys."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from fmq.clock import SYSTEM_CLOCK
from fmq.message import Incoming
from fmq.service.reporting.store_collector import StoreCollector
from fmq.store.backends import open_store
from fmq.store.options import StoreOptions
from fmq.store.postgres import figures
from fmq.store.postgres.server.session import Rows, Session, Values
from fmq.store.postgres.server.state import standbys_wanted
from fmq.store.postgres.server.target import target_of
from fmq.store.postgres.timekeeping import StoreTime
from fmq.store.records import ServerState
from support.backends import PostgresUnderTest
from support.postgres import Postgres
from support.standby import Standby, wait_for_setting
from support.wait import wait_for

pytestmark = pytest.mark.postgres


def state_of(url: str) -> ServerState:
    """The state, read anew."""
    with open_store(url, create=False) as store:
        state = store.server_state()
    assert state is not None
    return state


@contextmanager
def transaction(url: str, *statements: str) -> Iterator[psycopg.Connection]:
    """While somebody has a transaction open."""
    with psycopg.connect(url) as connection:
        for one in statements:
            connection.execute(one.encode())
        yield connection
        connection.rollback()


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ("", 0),
        ("  ", 0),
        ("a", 1),
        ("a, b", 1),
        ("*", 1),
        ("2 (a, b, c)", 2),
        ("FIRST 2 (a, b)", 2),
        ("any 3 (*)", 3),
        ('"2 (x"', 1),
    ],
)
def test_how_many_standbys_are_wanted(names: str, wanted: int) -> None:
    """All forms of the setting, as PostgreSQL documents them."""
    assert standbys_wanted(names) == wanted


def test_a_server_on_its_own(backend: PostgresUnderTest) -> None:
    """A primary without standbys has no lag, and nothing holds back its cleaning."""
    backend.open().close()
    state = state_of(backend.url)
    expected = ServerState(
        is_primary=True,
        timeline=1,
        standbys_wanted=0,
        standbys_streaming=0,
        lag_bytes=None,
        lag_seconds=None,
        oldest_transaction=0.0,
        oldest_snapshot=0.0,
        dead_rows={},
        reconnects=state.reconnects,
        retries=state.retries,
    )
    # Other tests of this process use the same database.
    assert replace(state, oldest_transaction=0.0, oldest_snapshot=0.0) == expected


@pytest.mark.timeout(180)
def test_standbys_and_a_failover() -> None:
    """Who streams, how far the best is behind, and after a promotion the new timeline."""
    with Postgres() as primary:
        open_store(primary.url).close()
        with Standby(primary, "one") as one, Standby(primary, "two"):
            wait_for_setting(primary, "synchronous_standby_names", "ANY 1 (one, two)")
            one.wait_to_stream(synchronous=True)

            def seen() -> tuple[object, ...]:
                state = state_of(primary.url)
                return state.standbys_wanted, state.standbys_streaming, state.lag_bytes, state.lag_seconds

            wait_for(lambda: seen() == (1, 2, 0, 0.0), what="two standbys that are level")
            wait_for_setting(primary, "synchronous_standby_names", "one")
            one.stop()
            wait_for(lambda: state_of(primary.url).standbys_streaming == 0, what="the standby to be missed")
            state = state_of(primary.url)
            assert state.standbys_wanted == 1
            assert state.lag_bytes is not None  # of the other one
            one.start()
            one.wait_to_stream(synchronous=True)
            one.promote()
            assert state_of(one.url).timeline == 2
            assert state_of(primary.url).timeline == 1


def test_a_connection_to_a_standby() -> None:
    """The state of a standby says that it takes no writes."""
    with Postgres() as primary:
        open_store(primary.url).close()
        with Standby(primary, "one") as standby:
            state = state_of(f"{standby.url}?target_session_attrs=any")
            assert (state.is_primary, state.timeline) == (False, None)


def test_what_holds_back_the_cleaning() -> None:
    """An open snapshot, an open change and a prepared transaction do; a transaction that only began does not.

    In another database none of them matters.
    """
    with Postgres("max_prepared_transactions=2") as server:
        open_store(server.url).close()
        server.execute("CREATE TABLE t (id int)")
        server.execute("CREATE DATABASE other")
        repeatable = ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM pg_class")
        for url, statements, expected in (
            (server.url, ("SELECT 1",), (True, False)),
            (server.url, repeatable, (True, True)),
            (server.url, ("INSERT INTO t VALUES (1)",), (True, True)),
            (server.url.replace("/test", "/other"), repeatable, (False, False)),
        ):
            with transaction(url, *statements):
                state = state_of(server.url)
            assert (state.oldest_transaction > 0, state.oldest_snapshot > 0) == expected, statements
        with transaction(server.url, "INSERT INTO t VALUES (1)", "PREPARE TRANSACTION 'kept'"):
            pass
        assert state_of(server.url).oldest_snapshot > 0
        server.execute("ROLLBACK PREPARED 'kept'")
        assert state_of(server.url).oldest_snapshot == 0


def test_dead_rows() -> None:
    """Those among the unsettled messages of each queue."""
    with Postgres("autovacuum=off") as server, open_store(server.url) as store:
        for name in ("a", "b"):
            store.declare(name)
        store.put([Incoming("a", "t", b"", 1.0)] * 50)
        store.claim("a", 50, lease=60)
        store.close()  # a server's process reports its figures when it is idle or ends
        wait_for(lambda: state_of(server.url).dead_rows == {"a": 50, "b": 0}, what="the figures")


def test_a_user_who_may_not_see_it() -> None:
    """Without the rights of pg_monitor, what is hidden is unknown and not 0; all else is there."""
    with Postgres() as primary:
        primary.execute("CREATE ROLE plain LOGIN")
        primary.execute("ALTER DATABASE test OWNER TO plain")
        primary.execute("GRANT ALL ON SCHEMA public TO plain")
        url = primary.url.replace("fmq@", "plain@")
        open_store(url).close()
        assert state_of(url).standbys_streaming == 0  # that there is none can be seen
        with Standby(primary, "one") as standby:
            wait_for_setting(primary, "synchronous_standby_names", "one")
            standby.wait_to_stream(synchronous=True)
            state = state_of(url)
            assert (state.standbys_wanted, state.standbys_streaming, state.lag_bytes) == (1, None, None)
            primary.execute("GRANT pg_read_all_stats TO plain")
            assert state_of(url).standbys_streaming == 1


def test_it_is_read_every_15_seconds_at_most(backend: PostgresUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is asked for: state and size."""
    now = [1000.0]
    asked: list[bytes] = []
    monkeypatch.setattr(figures, "monotonic", lambda: now[0])
    with backend.open() as store:
        usual = Session.rows

        def counted(self: Session, statement: bytes, values: Values | None = None) -> Rows:
            asked.append(statement)
            return usual(self, statement, values)

        monkeypatch.setattr(Session, "rows", counted)
        for _ in range(5):
            store.server_state()
            store.store_stats()
        first = len(asked)
        assert first == 3
        now[0] += 14.9
        store.server_state()
        store.store_stats()
        assert len(asked) == first
        now[0] += 0.2
        store.server_state()
        store.store_stats()
        assert len(asked) == 2 * first


def test_events_of_this_process(backend: PostgresUnderTest) -> None:
    """Connections made anew, and transactions run again after a deadlock, of all sessions together."""
    backend.open().close()
    before = state_of(backend.url)
    backend.execute("CREATE SEQUENCE tries")
    session = Session(target_of(backend.url), StoreOptions(), StoreTime(SYSTEM_CLOCK))
    session.rows(b"DO $$ BEGIN IF nextval('tries') < 3 THEN RAISE 'deadlock' USING ERRCODE = '40P01'; END IF; END $$")
    backend.end_sessions()
    session.close()
    session.rows(b"SELECT 1")
    session.close()
    after = state_of(backend.url)
    assert (after.retries - before.retries, after.reconnects - before.reconnects) == (2, 1)


def test_its_metrics(backend: PostgresUnderTest) -> None:
    """Each figure has a metric; unknown ones are absent."""
    registry = CollectorRegistry()
    with backend.open() as store:
        store.declare("a/b")
        registry.register(StoreCollector(store))
        shown = {one.name for one in registry.collect() if one.name.startswith("fmq_store_")}
        shown -= {"fmq_store_up", "fmq_store_info"}
        state = store.server_state()
    assert state is not None
    assert "fmq_store_replication_lag_bytes" not in shown
    assert len(shown) == len([value for value in asdict(state).values() if value is not None])
