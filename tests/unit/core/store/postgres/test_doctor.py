"""`fmq doctor` on real servers: each thing that is risky is named, with what to do about it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pytest

from fmq.cli import checks
from fmq.finding import Finding, Level
from fmq.message import Incoming
from fmq.outcome import Done
from fmq.store.backends import backend_of, open_store
from fmq.store.options import Durability, StoreOptions
from fmq.store.postgres.diagnosis import cleaning, connection
from support.broker import free_port
from support.postgres import Postgres
from support.standby import Standby, wait_for_setting
from support.wait import wait_for

pytestmark = pytest.mark.postgres

_LIMITED = "ALTER DATABASE test SET idle_in_transaction_session_timeout = '5min'"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A careful server with a store, whose power is not cut."""
    with Postgres("max_prepared_transactions=2") as running:
        running.execute(_LIMITED)
        with open_store(running.url) as store:
            store.declare("q")
        yield running


def findings(url: str, options: StoreOptions | None = None) -> Sequence[Finding]:
    found = list(backend_of(url).diagnose(url, options or StoreOptions(), thorough=False))
    assert all(one.advice for one in found if one.level is not Level.OK)
    return found


def bad(url: str, options: StoreOptions | None = None) -> dict[str, str]:
    """What is not ok, with its level, except the missing standby."""
    found = findings(url, options)
    return {
        one.about: f"{one.level} {one.text}" for one in found if one.level is not Level.OK and one.about != "standby"
    }


def advice(url: str, about: str) -> str:
    return next(one.advice for one in findings(url) if one.about == about)


@contextmanager
def setting(server: Postgres, name: str, value: str) -> Iterator[None]:
    """While the server has another setting."""
    before = server.execute("SELECT current_setting(%s)", [name])[0][0]
    wait_for_setting(server, name, value)
    try:
        yield
    finally:
        wait_for_setting(server, name, before)


@contextmanager
def open_transaction(url: str, *statements: str) -> Iterator[int]:
    """While a session has a transaction open. Yields the id of its process."""
    with psycopg.connect(url, application_name="report") as session:
        for one in statements:
            session.execute(one.encode())
        yield session.info.backend_pid
        session.rollback()


_SNAPSHOT = ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM pg_class")


def test_a_careful_server(server: Postgres) -> None:
    """Only two findings are left: without a standby, messages are lost with the disk; and the free disk is unknown."""
    assert bad(server.url) == {}
    found = {one.about: one for one in findings(server.url)}
    assert found["standby"].level is Level.WARNING
    assert "can't see it" in found["disk"].text
    assert found["autovacuum"].level is Level.OK


@pytest.mark.parametrize(
    ("name", "value", "about", "says"),
    [
        ("fsync", "off", "durability", "problem off: fsync."),
        ("full_page_writes", "off", "durability", "problem off: full_page_writes."),
        ("autovacuum", "off", "autovacuum", "warning it is off"),
        ("track_counts", "off", "autovacuum", "warning it is off"),
    ],
)
def test_settings_of_the_server(server: Postgres, name: str, value: str, about: str, says: str) -> None:
    """Each that endangers messages or speed."""
    with setting(server, name, value):
        found = bad(server.url)
    assert found.keys() == {about}
    assert found[about].startswith(says)


def test_idle_transactions_without_a_limit(server: Postgres) -> None:
    """A limit for the database keeps a forgotten transaction from slowing the claims."""
    server.execute(_LIMITED.replace("'5min'", "DEFAULT"))
    try:
        assert bad(server.url).keys() == {"idle transactions"}
    finally:
        server.execute(_LIMITED)


def test_a_table_without_autovacuum(server: Postgres) -> None:
    """It may be turned off for a table of fmq alone."""
    server.execute("ALTER TABLE fmq_due_1 SET (autovacuum_enabled = off)")
    try:
        assert "off for fmq_due_1" in bad(server.url)["autovacuum"]
    finally:
        server.execute("ALTER TABLE fmq_due_1 RESET (autovacuum_enabled)")


def test_commits_that_do_not_wait(server: Postgres) -> None:
    """FMQ_SYNCHRONOUS=NORMAL loses acknowledged messages at a crash or a failover."""
    assert "NORMAL" in bad(server.url, StoreOptions(durability=Durability.NORMAL))["durability"]


def test_an_old_snapshot(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this database it is named, with the process to end; in another one it does not matter. Nothing is lost meanwhile."""
    monkeypatch.setattr(cleaning, "_LONG_SECONDS", 0.0)
    server.execute("CREATE DATABASE other")
    elsewhere = server.url.replace("/test", "/other")
    with open_transaction(elsewhere, *_SNAPSHOT):
        assert bad(server.url) == {}
    with open_transaction(server.url, "SELECT 1"):
        assert bad(server.url) == {}  # began, but holds nothing back
    with open_transaction(server.url, *_SNAPSHOT) as pid, open_store(server.url) as store:
        store.put([Incoming("q", "t", b"x", 1.0)] * 100)
        assert f"of fmq (report, process {pid})" in bad(server.url)["transactions"]
        assert f"pg_terminate_backend({pid})" in advice(server.url, "transactions")
        assert not store.settle([(claim, Done()) for claim in store.claim("q", 100, lease=60)])
        assert (store.stats("q").done, store.stats("q").pending) == (100, 0)
    assert bad(server.url) == {}


def test_a_prepared_transaction(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """It outlives its session."""
    monkeypatch.setattr(cleaning, "_LONG_SECONDS", 0.0)
    with open_transaction(server.url, "SELECT pg_current_xact_id()", "PREPARE TRANSACTION 'kept'"):
        pass
    try:
        assert "prepared transaction 'kept'" in bad(server.url)["transactions"]
    finally:
        server.execute("ROLLBACK PREPARED 'kept'")


def test_slots(server: Postgres) -> None:
    """One that nobody uses keeps the log until the disk is full."""
    server.execute("SELECT pg_create_physical_replication_slot('left_over', true)")
    try:
        found = bad(server.url)
        assert found.keys() == {"replication slot"}
        assert "left_over is not in use and keeps" in found["replication slot"]
        assert "nothing limits it" in found["replication slot"]
        with setting(server, "max_slot_wal_keep_size", "1GB"):
            assert "nothing limits it" not in bad(server.url)["replication slot"]
    finally:
        server.execute("SELECT pg_drop_replication_slot('left_over')")


def test_other_tables(server: Postgres) -> None:
    """A database that fmq shares."""
    server.execute("CREATE TABLE strangers (id int)")
    try:
        assert "holds 1 tables" in bad(server.url)["other tables"]
    finally:
        server.execute("DROP TABLE strangers")


@pytest.mark.parametrize("limit", ["ALTER DATABASE test CONNECTION LIMIT {}", "ALTER ROLE fmq CONNECTION LIMIT {}"])
def test_few_connections(server: Postgres, limit: str) -> None:
    """Of the server (40 in all), the database or the role."""
    server.execute(limit.format(9))
    try:
        assert "has room for" in bad(server.url)["connections"]
    finally:
        server.execute(limit.format(-1))
    with psycopg.connect(server.url), psycopg.connect(server.url):
        others = [psycopg.connect(server.url) for _ in range(26)]
        try:
            assert "has room for" in bad(server.url)["connections"]
        finally:
            for one in others:
                one.close()


def test_what_the_url_says(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in it, and a remote host without a proven certificate."""
    url = server.demand_password("careful", "hush")
    found = bad(url)
    assert found.keys() == {"password"}
    assert "hush" not in str(findings(url))
    monkeypatch.setenv("PGPASSWORD", "hush")
    assert bad(url.replace(":hush", "")) == {}
    monkeypatch.setattr(connection, "_is_here", lambda _: False)
    assert "sslmode=prefer: the connection is not encrypted" in bad(server.url)["encryption"]


def test_a_user_without_rights(server: Postgres) -> None:
    """Doctor says that it does not see everything, and what to grant."""
    server.execute("CREATE ROLE plain LOGIN")
    server.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO plain")
    url = server.url.replace("fmq@", "plain@")
    assert bad(url).keys() == {"rights"}
    assert "pg_monitor" in advice(url, "rights")
    server.execute("GRANT pg_monitor TO plain")
    assert bad(url) == {}
    server.execute("DROP OWNED BY plain")
    server.execute("DROP ROLE plain")


@pytest.mark.timeout(180)
def test_standbys_and_hosts() -> None:
    """Standbys that are missing, asynchronous or fine; hosts that are not named, don't answer, or take writes both."""
    with Postgres() as primary:
        primary.execute(_LIMITED)
        open_store(primary.url).close()

        def standby() -> tuple[Level, str]:
            return next((one.level, one.text) for one in findings(primary.url) if one.about == "standby")

        with Standby(primary, "one") as one:
            assert "only asynchronous standbys (1)" in standby()[1]
            assert "names 127.0.0.1" in bad(primary.url)["hosts"]
            wait_for_setting(primary, "synchronous_standby_names", "ANY 1 (one, two)")
            one.wait_to_stream(synchronous=True)
            assert standby()[0] is Level.OK
            both = primary.url.replace(f":{primary.port}/", f":{primary.port},127.0.0.1:{one.port}/")
            assert bad(both) == {}
            hosts = next(found.text for found in findings(both) if found.about == "hosts")
            assert hosts == f"127.0.0.1:{primary.port} primary, 127.0.0.1:{one.port} standby"
            gone = free_port()
            found = bad(both.replace("/test", f",127.0.0.1:{gone}/test"))
            assert found.keys() == {f"host 127.0.0.1:{gone}"}
            only_standby = f"{one.url}?target_session_attrs=any"
            assert bad(only_standby)["server"].endswith("is a standby or read-only: nothing can be stored")
            one.stop()
            wait_for(lambda: standby()[0] is Level.PROBLEM, what="the standby to be missed")
            assert "needed: 1, streaming: 0" in standby()[1]
            # The checks go on: none of them waits for the standby.
            whole = {"FMQ_QUEUE_URL": primary.url, "FMQ_SYNCHRONOUS": "FULL"}
            assert "writing" in {
                found.about for found in checks.run(lambda env: checks.store(env, thorough=False), whole)
            }
            wait_for_setting(primary, "synchronous_standby_names", "")
            one.start()
            one.promote()
            wait_for(lambda: "both take writes" in bad(both).get("hosts", ""), what="two primaries")
        with Postgres() as stranger:
            open_store(stranger.url).close()
            mixed = primary.url.replace(f":{primary.port}/", f":{primary.port},127.0.0.1:{stranger.port}/")
            assert "both take writes" in bad(mixed)["hosts"]


def test_hosts_with_other_clocks(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that differs from this machine's is named with its host."""
    monkeypatch.setattr(connection, "wall", lambda: time.time() - 60)
    assert f"127.0.0.1:{server.port} is 60 s ahead of" in bad(server.url)["server clock"]
    monkeypatch.setattr(connection, "wall", lambda: time.time() + 60)
    assert f"127.0.0.1:{server.port} is 60 s behind" in bad(server.url)["server clock"]


def test_no_server() -> None:
    """One problem, with what to check, and nothing else."""
    found = findings(f"postgresql://fmq@127.0.0.1:{free_port()}/test")
    assert [(one.about, one.level) for one in found] == [("server", Level.PROBLEM)]
