"""What is said of a URL, and what the backend refuses."""

import sys

import pytest

from fmq.clock import SYSTEM_CLOCK
from fmq.errors import QueueError, SettingsError, StoreRefused, StoreUnavailable
from fmq.store.backends import backend_of, open_store, same_store
from fmq.store.options import StoreOptions
from fmq.store.postgres.server.target import target_of
from support.backends import PostgresUnderTest
from support.broker import free_port

_URL = "postgresql://fmq:secret@a,b:5433,c/fmq"


def test_a_name_without_the_password() -> None:
    """Hosts, user and database are shown, however the password is given."""
    for url in (_URL, "postgresql://fmq@a,b:5433,c/fmq?password=secret"):
        target = target_of(url)
        assert target.name == "postgresql://fmq@a,b:5433,c/fmq"
        assert "secret" in target.parameters.values()
        assert target.parameters["target_session_attrs"] == "read-write"


@pytest.mark.parametrize("url", ["postgresql://", "postgresql://fmq:secret@a", "postgresql://fmq:secret@a/b?port_=1"])
def test_invalid_urls(url: str) -> None:
    """The error says what is expected, without the password."""
    with pytest.raises(SettingsError, match=r"Invalid queue URL .* expected one like postgresql://") as caught:
        target_of(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("postgresql://another@b:5433/fmq", True),
        ("postgres://A:5432/fmq", True),
        ("postgresql://b/fmq", False),
        ("postgresql://a/other", False),
        ("sqlite:////fmq", False),
    ],
)
def test_the_same_store(other: str, *, same: bool) -> None:
    """Whatever the user and the spelling: the same database of a server that both name."""
    assert same_store(_URL, other) is same


def test_what_the_server_does_better() -> None:
    """Backups and setting aside are refused, with the right way."""
    backend = backend_of(_URL)
    with pytest.raises(QueueError, match="pg_dump"):
        backend.back_up(_URL, "copy", on_progress=lambda *_: None)
    with pytest.raises(StoreRefused, match="ALTER DATABASE"):
        backend.set_aside(_URL)


def test_a_server_that_does_not_answer() -> None:
    """It is unavailable, which may pass; the text holds no password."""
    with pytest.raises(StoreUnavailable) as caught:
        open_store(f"postgresql://fmq:secret@127.0.0.1:{free_port()}/fmq")
    assert "secret" not in str(caught.value)


@pytest.mark.postgres
def test_whether_it_is_a_store(backend: PostgresUnderTest) -> None:
    """An empty database is none, until it is opened."""
    found = backend_of(backend.url)
    assert not found.is_store(backend.url)
    with pytest.raises(StoreRefused, match="no store"):
        found.open(backend.url, StoreOptions(), clock=SYSTEM_CLOCK, create=False)
    backend.open().close()
    assert found.is_store(backend.url)


def test_without_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra that installs it."""
    for name in [one for one in sys.modules if one.startswith("fmq.store.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError, match=r"fmq-mqtt\[postgres\]"):
        backend_of(_URL)
