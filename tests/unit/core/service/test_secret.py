"""Secrets in files: the value of the moment, and a good one whatever becomes of the file."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationInfo, field_validator

from fmq.errors import SettingsError
from fmq.service.broker.settings import BrokerSettings
from fmq.service.environment import load
from fmq.service.settings import SettingsModel, setting


class Keys(SettingsModel):
    """Two secrets, each with a rule of its own."""

    shop_key: SecretStr | None = setting(None, about="A key.", expected="4 characters or more", min_length=4)
    shop_pin: SecretStr | None = setting(None, about="A pin.", expected="digits")

    @field_validator("shop_pin")
    @classmethod
    def _are_digits(cls, value: SecretStr | None, _info: ValidationInfo) -> SecretStr | None:
        if value is not None and not value.get_secret_value().isdigit():
            raise ValueError("it has other characters than digits")
        return value


def _key(path: Path) -> SecretStr:
    key = load(Keys, {}, {"FMQ_SHOP_KEY_FILE": str(path)}).shop_key
    assert key is not None
    return key


def _rewrite(path: Path, text: str) -> None:
    path.write_text(text)


def _rename(path: Path, text: str) -> None:
    other = path.with_suffix(".new")
    other.write_text(text)
    other.replace(path)


@pytest.mark.parametrize("write", [_rewrite, _rename])
@pytest.mark.parametrize("new", ["second", "other", "a much longer one, with spaces", "ümläut"])
def test_a_secret_is_what_its_file_holds_now(tmp_path: Path, write: Callable[[Path, str], None], new: str) -> None:
    """However the file is replaced, and whatever length and time of change it has then."""
    file = tmp_path / "key"
    file.write_text("first")
    before = file.stat()
    key = _key(file)
    assert key.get_secret_value() == "first"
    write(file, new)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert key.get_secret_value() == new
    assert new not in repr(key)


def test_a_secret_follows_the_links_of_kubernetes(tmp_path: Path) -> None:
    """A Secret's volume shows its files through ``..data``, which is swapped for another folder in one step."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(f"from {name}")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "key").symlink_to("..data/key")
    key = _key(tmp_path / "key")
    assert key.get_secret_value() == "from one"
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert key.get_secret_value() == "from two"


@pytest.mark.parametrize("content", [b"horse\n", b"horse\r\n", b"\xef\xbb\xbfhorse", b"\xef\xbb\xbfhorse\r\n\r\n"])
def test_what_editors_add_is_no_part_of_a_secret(tmp_path: Path, content: bytes) -> None:
    """Line breaks at the end and a byte order mark, at the start and after a change."""
    file = tmp_path / "key"
    file.write_bytes(content)
    key = _key(file)
    assert key.get_secret_value() == "horse"
    file.write_bytes(content.replace(b"horse", b" horse "))
    assert key.get_secret_value() == " horse "


def _become_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda file: file.unlink(), "No such file"),
        (lambda file: file.write_bytes(b""), "it is empty"),
        (lambda file: file.write_bytes(b"\r\n"), "it is empty"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "it is not UTF-8"),
        (lambda file: file.write_bytes(b"abc"), "at least 4"),
        (lambda file: file.write_bytes(b"k" * 2_000_000), "it is larger than 1048576 bytes"),
        (lambda file: (file.unlink(), file.mkdir()), "Is a directory"),
        (_become_a_pipe, "not a regular file"),
    ],
)
def test_a_file_that_fails_later_leaves_the_last_good_value(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], object], why: str
) -> None:
    """It is logged once, without the content; the next good value is taken and logged."""
    file = tmp_path / "key"
    file.write_text("first")
    key = _key(file)
    caplog.set_level(logging.INFO)
    spoil(file)
    assert [key.get_secret_value() for _ in range(3)] == ["first"] * 3
    (line,) = caplog.messages
    assert f"FMQ_SHOP_KEY_FILE={str(file)!r} can't be used any more" in line
    assert why in line
    assert "abc" not in line
    if file.is_dir():
        file.rmdir()
    (tmp_path / "good").write_text("second")
    (tmp_path / "good").replace(file)
    assert key.get_secret_value() == "second"
    assert "new value" in caplog.messages[-1]
    assert "second" not in caplog.text


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"abc", b"k" * 2_000_000])
def test_a_file_that_is_wrong_at_the_start_is_refused(tmp_path: Path, content: bytes) -> None:
    """As any other wrong setting: named, and its content is not shown."""
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"FMQ_SHOP_KEY_FILE=") as caught:
        _key(file)
    assert "abc" not in str(caught.value)


def test_secrets_are_checked_again_each_by_its_own_rule(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Also when several files change at once; one that is wrong does not keep the other from its new value."""
    files = {"FMQ_SHOP_KEY_FILE": tmp_path / "key", "FMQ_SHOP_PIN_FILE": tmp_path / "pin"}
    files["FMQ_SHOP_KEY_FILE"].write_text("first")
    files["FMQ_SHOP_PIN_FILE"].write_text("1111")
    settings = load(Keys, {}, {name: str(path) for name, path in files.items()})
    files["FMQ_SHOP_KEY_FILE"].write_text("second")
    files["FMQ_SHOP_PIN_FILE"].write_text("words")
    assert settings.shop_key is not None
    assert settings.shop_pin is not None
    assert settings.shop_key.get_secret_value() == "second"
    assert settings.shop_pin.get_secret_value() == "1111"
    assert "it has other characters than digits" in caplog.text
    assert "words" not in caplog.text


def test_a_secret_from_a_pipe_is_read_once() -> None:
    """As by ``FMQ_SHOP_KEY_FILE=<(command)``: a pipe can be read only once."""
    reading, writing = os.pipe()
    os.write(writing, b"piped\n")
    os.close(writing)
    key = _key(Path(f"/dev/fd/{reading}"))
    os.close(reading)
    assert [key.get_secret_value() for _ in range(2)] == ["piped", "piped"]


def test_the_brokers_password_is_the_present_one(tmp_path: Path) -> None:
    """A caller that asks for the secret before a connection gets the current content of the file."""
    file = tmp_path / "password"
    file.write_text("first\n")
    settings = load(BrokerSettings, {"broker_username": "ann"}, {"FMQ_BROKER_PASSWORD_FILE": str(file)})
    found = [settings.password]
    _rename(file, "second\n")
    found.append(settings.password)
    assert found == ["first", "second"]
