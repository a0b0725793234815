"""The web page's part of `fmq doctor`."""

import itertools
from pathlib import Path

import pytest

from fmq.finding import Finding, Level, ok
from fmq_web.access.passwords import PasswordHash
from fmq_web.doctor import check_web
from fmq_web.settings import WebSettings
from support.broker import free_port
from support.scripted_broker import Connection, ScriptedBroker


def _accept(connection: Connection) -> None:
    connection.accept()
    connection.serve()


def _check(**environ: str) -> list[Finding]:
    return list(check_web(environ))


@pytest.mark.parametrize(
    ("environ", "levels", "said"),
    [
        ({}, ["ok"], "everyone on this machine may read it"),
        ({"FMQ_WEB_PASSWORD": "12345678"}, ["ok"], "for this machine only, who sign in"),
        ({"FMQ_WEB_HOSTS": "fmq.example.com"}, ["warning"], "with a new password in its log at each start"),
        (
            {"FMQ_WEB_HOST": "::", "FMQ_WEB_HOSTS": "a.example", "FMQ_WEB_PASSWORD": "12345678"},
            ["ok"],
            "all who reach ::",
        ),
        ({"FMQ_WEB_HOST": "::", "FMQ_WEB_PASSWORD": "12345678"}, ["ok", "warning"], "under its address only"),
    ],
)
def test_who_may_see_it(environ: dict[str, str], levels: list[str], said: str) -> None:
    """By address, names, password and users."""
    found = _check(**environ)
    assert [one.level.value for one in found] == levels
    assert any(said in one.text for one in found)
    assert not any("12345678" in one.text for one in found)


@pytest.mark.parametrize(
    ("content", "mode", "levels"),
    [
        (f"anna:read:{PasswordHash.of_nobody()}", 0o600, [Level.OK, Level.OK]),
        (f"anna:read:{PasswordHash.of_nobody()}", 0o640, [Level.OK, Level.OK]),
        (f"anna:read:{PasswordHash.of_nobody()}", 0o644, [Level.OK, Level.WARNING, Level.OK]),
        (f"anna:read:{PasswordHash.of_nobody()}", 0o660, [Level.OK, Level.PROBLEM, Level.OK]),
        ("# nobody", 0o600, [Level.OK, Level.WARNING]),
        ("hunter2\nhunter3", 0o600, [Level.OK, Level.PROBLEM, Level.PROBLEM]),
    ],
    ids=itertools.count(),  # each worker salts its own hash
)
def test_the_users_file(tmp_path: Path, content: str, mode: int, levels: list[Level]) -> None:
    """Its lines, and who may read and change it."""
    path = tmp_path / "users"
    path.write_text(content)
    path.chmod(mode)
    found = _check(FMQ_WEB_USERS_FILE=str(path))
    assert [one.level for one in found] == levels
    assert all(one.advice for one in found if one.level is not Level.OK)
    assert "hunter" not in str(found).replace(str(path), "")


class TestBroker:
    @pytest.fixture(autouse=True)
    def _alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As in the web page's image."""
        monkeypatch.setattr("fmq_web.doctor.inventory.services", lambda: {"web": WebSettings})

    def test_it_is_reached(self) -> None:
        """Nothing is published."""
        with ScriptedBroker(_accept) as broker:
            (_, found) = _check(FMQ_BROKER_URL=broker.url)
        assert found == ok("web page's broker", f"{broker.url} accepts the connection")

    def test_it_is_not_reached(self) -> None:
        """The reason is said, the password is not."""
        (_, found) = _check(FMQ_BROKER_URL=f"mqtt://me:hush@127.0.0.1:{free_port()}")
        assert found.level is Level.PROBLEM
        assert "Connection refused" in found.text
        assert "hush" not in found.text

    def test_without_one(self) -> None:
        """It says nothing."""
        assert len(_check()) == 1

    def test_next_to_a_listener(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its own check asks the broker, once."""
        monkeypatch.setattr("fmq_web.doctor.inventory.services", lambda: {"listener": WebSettings})
        assert len(_check(FMQ_BROKER_URL=f"mqtt://127.0.0.1:{free_port()}")) == 1
