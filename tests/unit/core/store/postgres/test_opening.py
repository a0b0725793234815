"""Creating the tables, and databases that are refused."""

import re
import threading
from contextlib import suppress

import pytest

from fmq.errors import StoreRefused, StoreUnavailable
from fmq.store.backends import backend_of, open_store
from fmq.store.options import StoreOptions
from support.backends import PostgresUnderTest

pytestmark = pytest.mark.postgres


def test_several_at_once(backend: PostgresUnderTest) -> None:
    """Processes that start together on an empty database make one store, and each queue once."""
    errors: list[BaseException] = []
    together = threading.Barrier(6)

    def start() -> None:
        try:
            together.wait()
            with backend.open() as store:
                store.declare("q")
                store.identity()
        except BaseException as error:  # noqa: BLE001 - reported by the test's thread
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with backend.open() as store:
        assert store.names() == ["q"]


def test_tables_of_another_program(backend: PostgresUnderTest) -> None:
    """A database with tables called like those of fmq is refused and not changed."""
    backend.execute("CREATE TABLE fmq_queue (id int)")
    with pytest.raises(StoreRefused, match="not an fmq database"):
        backend.open()
    assert backend.execute(
        "SELECT count(*) FROM pg_class WHERE relname = 'fmq_schema' AND relnamespace = current_schema()::regnamespace"
    ) == [(0,)]


def test_a_user_without_rights(backend: PostgresUnderTest) -> None:
    """The error says which right is missing, and what to do."""
    backend.execute("DROP ROLE IF EXISTS poor")
    backend.execute("CREATE ROLE poor LOGIN")
    with pytest.raises(StoreRefused, match=r"lacks a right \(no schema .*owner of the database"):
        open_store(backend.url.replace("fmq@", "poor@"))
    backend.execute("DROP ROLE poor")


def test_a_newer_store(backend: PostgresUnderTest) -> None:
    """It is refused once it says that this version can't use it, and not before: services are upgraded one at a time."""
    backend.open().close()
    backend.execute("INSERT INTO fmq_schema (version, oldest) VALUES (999, 1)")
    backend.open().close()
    backend.execute("UPDATE fmq_schema SET oldest = 999 WHERE version = 999")
    with pytest.raises(StoreRefused, match="newer fmq"):
        backend.open()


def test_a_store_that_becomes_newer(backend: PostgresUnderTest) -> None:
    """A session that connects again refuses the store once this version can't use it; until then it goes on."""
    with backend.open() as store:
        store.declare("q")
        backend.execute("INSERT INTO fmq_schema (version, oldest) VALUES (999, 1)")
        backend.end_sessions()
        with suppress(StoreUnavailable):
            store.names()
        assert store.names() == ["q"]
        backend.execute("UPDATE fmq_schema SET oldest = 999 WHERE version = 999")
        assert store.names() == ["q"]
        backend.end_sessions()
        with suppress(StoreUnavailable):
            store.names()
        with pytest.raises(StoreRefused, match="newer fmq"):
            store.names()


def test_tables_that_somebody_has_changed(backend: PostgresUnderTest) -> None:
    """The store says what is missing, and does not try again forever."""
    store = backend.open()
    store.declare("q")
    backend.execute("DROP TABLE fmq_due_1")
    with store, pytest.raises(StoreRefused, match="not as fmq made them"):
        store.claim("q", 1, lease=1)


def test_looking_at_it(backend: PostgresUnderTest) -> None:
    """Doctor names what is missing, what is risky and what is well."""

    def findings(*, thorough: bool = False) -> dict[str, str]:
        found = backend_of(backend.url).diagnose(backend.url, StoreOptions(), thorough=thorough)
        return {one.about: f"{one.level} {one.text}" for one in found}

    assert re.fullmatch("warning .+ has no store yet", findings()["database"])
    with backend.open() as store:
        store.declare("q")
    found = findings(thorough=True)
    assert found["database"].startswith("ok schema 1")
    assert found["durability"].startswith("problem off: fsync and full_page_writes")  # this server's power is not cut
    assert found["counters"] == "ok equal a full count"
    backend.execute("CREATE TABLE strangers (id int)")
    backend.execute("UPDATE fmq_count SET pending = 1 WHERE slot = 3")
    found = findings(thorough=True)
    assert "other tables" in found
    assert found["counters"] == "problem differ from a full count: q"
