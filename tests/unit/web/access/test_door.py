"""Who comes in, by which password, and what ends a session."""

import logging
from pathlib import Path

import pytest

from fmq.errors import SettingsError
from fmq.service.environment import load
from fmq_web.access import passwords
from fmq_web.access.door import Door
from fmq_web.access.passwords import PasswordHash
from fmq_web.access.role import Role
from fmq_web.settings import WebSettings
from support.clock import FakeClock
from support.web.tested_page import quick_scrypt

ANNAS = "annas password"
OPERATORS = {"FMQ_WEB_PASSWORD": "12345678"}


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_scrypt", quick_scrypt)


def _settings(**environ: str) -> WebSettings:
    return load(WebSettings, {}, environ)


def _users(folder: Path, *lines: str) -> Path:
    path = folder / "users"
    path.write_text("\n".join(lines))
    return path


def test_without_users_a_password_is_logged_at_each_start(caplog: pytest.LogCaptureFixture) -> None:
    """A new one each time; it is the operator's."""
    doors = [Door(_settings(), FakeClock()) for _ in range(2)]
    made = [line.split("the password ")[1].split()[0] for line in caplog.messages]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert len(set(made)) == 2
    assert doors[0].check("operator", made[0]).result()
    assert not doors[1].check("operator", made[0]).result()
    assert all(door.anonymous_reads for door in doors)


@pytest.mark.parametrize(
    ("environ", "anonymous"),
    [
        ({}, True),
        ({"FMQ_WEB_HOST": "::1"}, True),
        ({"FMQ_WEB_HOST": "localhost"}, True),
        ({"FMQ_WEB_HOST": "0.0.0.0"}, False),  # noqa: S104 - read only
        ({"FMQ_WEB_HOST": "::"}, False),
        ({"FMQ_WEB_HOST": "192.0.2.1"}, False),
        ({"FMQ_WEB_PASSWORD": "12345678"}, False),
        ({"FMQ_WEB_HOSTS": "fmq.example.com"}, False),
        ({"FMQ_WEB_TRUSTED_PROXIES": "127.0.0.1"}, False),
    ],
)
def test_who_may_read_without_signing_in(environ: dict[str, str], anonymous: bool) -> None:  # noqa: FBT001 - a table
    """On loopback, while nobody has set up users, or names, or proxies that bring callers from elsewhere."""
    assert Door(_settings(**environ), FakeClock()).anonymous_reads is anonymous


def test_a_users_file_ends_anonymous_reading(tmp_path: Path) -> None:
    """Even an empty one; and then the log has no password."""
    assert not Door(_settings(FMQ_WEB_USERS_FILE=str(_users(tmp_path))), FakeClock()).anonymous_reads


def test_a_broken_users_file_is_a_setting_error(tmp_path: Path) -> None:
    """Exit code 2 at the start."""
    with pytest.raises(SettingsError, match="line 1"):
        Door(_settings(FMQ_WEB_USERS_FILE=str(_users(tmp_path, "anna"))), FakeClock())


def test_users_and_operator_side_by_side(tmp_path: Path) -> None:
    """Each has a password; a user whom only a proxy names has none."""
    path = _users(tmp_path, f"anna:read:{PasswordHash.of(ANNAS)}", "carl:operate:proxy")
    door = Door(_settings(FMQ_WEB_USERS_FILE=str(path), **OPERATORS), FakeClock())
    fits = {
        (name, password): door.check(name, password).result()
        for name in ("operator", "anna", "carl", "nobody", "")
        for password in ("12345678", ANNAS)
    }
    assert [pair for pair, fit in fits.items() if fit] == [("operator", "12345678"), ("anna", ANNAS)]
    assert [door.proxied(name) for name in ("anna", "carl", "zoe")] == [Role.READ, Role.OPERATE, Role.READ]


def test_unknown_users_cost_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check runs scrypt once, which takes all of its time."""
    path = _users(tmp_path, f"anna:read:{PasswordHash.of(ANNAS)}", "carl:operate:proxy")
    door = Door(_settings(FMQ_WEB_USERS_FILE=str(path), **OPERATORS), FakeClock())

    hashed: list[str] = []

    def counting(password: str, salt: bytes) -> bytes:
        hashed.append(password)
        return quick_scrypt(password, salt)

    monkeypatch.setattr(passwords, "_scrypt", counting)
    for name in ("operator", "anna", "carl", "nobody"):
        hashed.clear()
        assert not door.check(name, "a wrong password").result()
        assert hashed == ["a wrong password"], name


def test_a_session_ends_with_its_password(tmp_path: Path) -> None:
    """A new password, a removed user, and a new role count from the next request on, and for streams within a second."""
    first, second = PasswordHash.of(ANNAS), PasswordHash.of("another password")
    path = _users(tmp_path, f"anna:operate:{first}", f"ben:read:{second}")
    door = Door(_settings(FMQ_WEB_USERS_FILE=str(path)), FakeClock())
    anna, ben = door.start_session("anna"), door.start_session("ben")
    assert anna
    assert ben
    assert door.start_session("nobody") is None

    _users(tmp_path, f"anna:read:{first}", f"ben:read:{first}")
    found = door.session(anna)
    assert found
    assert found[1] is Role.READ
    assert len(door.sweep()) == 1
    assert door.session(ben) is None

    _users(tmp_path, "")
    assert door.session(anna) is None
    assert door.sweep() == [found[0].key]


def test_a_new_password_in_its_file_ends_the_operators_sessions(tmp_path: Path) -> None:
    """FMQ_WEB_PASSWORD_FILE is read again at each use."""
    path = tmp_path / "password"
    path.write_text("12345678\n")
    door = Door(_settings(FMQ_WEB_PASSWORD_FILE=str(path)), FakeClock())
    secret = door.start_session("operator")
    assert secret
    assert door.session(secret)
    path.write_text("87654321\n")
    assert door.session(secret) is None
    assert door.check("operator", "87654321").result()
    assert not door.check("operator", "12345678").result()
