"""The users' file: what it accepts, what it says of broken lines, and how it is read again."""

import itertools
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmq.errors import SettingsError
from fmq_web.access.passwords import PasswordHash
from fmq_web.access.role import Role
from fmq_web.access.tokens import digest_of, show_digest
from fmq_web.access.users import BrokenUsers, Token, parse_users
from fmq_web.access.users_file import UsersFile

HASH = str(PasswordHash.of_nobody())
GOOD = f"# people\n\nanna:operate:{HASH}\r\nben@example.com:read:{HASH}\ncarl:read:proxy\nci:read:{show_digest('t')}\n"


def test_a_good_file() -> None:
    """Comments, empty lines and Windows line ends are fine."""
    found = parse_users("\ufeff" + GOOD)
    assert {name: user.role for name, user in found.users.items()} == {
        "anna": Role.OPERATE,
        "ben@example.com": Role.READ,
        "carl": Role.READ,
    }
    assert str(found.users["anna"].secret) == HASH
    assert found.users["carl"].secret is None, "only a proxy names this user"
    assert found.tokens == {digest_of("t"): Token("ci", Role.READ)}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("anna:operate", "expected NAME:ROLE:SECRET"),
        ("zoe:operate:hunter2", "expected a hash"),
        (f"anna:admin:{HASH}", "the role is neither"),
        (f"anna:anyone:{HASH}", "the role is neither"),
        (f"an na:read:{HASH}", "a name has"),
        (f":read:{HASH}", "a name has"),
        (f"zoe:read:{HASH[:-5]}", "the hash is damaged"),
        (f"anna:read:{HASH}:more", "expected NAME:ROLE:SECRET"),
        ("anna:read:sha256$12", "64 hexadecimal digits"),
        (f"carl:read:{HASH}", "another line has the same user"),
        (f"other:operate:{show_digest('t')}", "another line has the same token"),
    ],
    ids=itertools.count(),  # each worker salts its own hash
)
def test_a_broken_line_is_named_by_its_number(line: str, why: str) -> None:
    """All broken lines at once, none with a part of its text that may be a secret."""
    with pytest.raises(BrokenUsers, match=why) as caught:
        parse_users(f"{GOOD}{line}\n# x\nhunter2\n")
    assert [one.partition(":")[0] for one in caught.value.problems] == ["line 7", "line 9"]
    assert "hunter2" not in str(caught.value)
    assert HASH[20:40] not in str(caught.value)


@settings(max_examples=500)
@given(st.lists(st.text() | st.sampled_from(GOOD.splitlines()) | st.text("ab:$#\r\t \0", max_size=40)).map("\n".join))
def test_no_text_breaks_the_reader(text: str) -> None:
    """It returns users or raises BrokenUsers with one problem for each broken line, by rising numbers."""
    try:
        found = parse_users(text)
    except BrokenUsers as error:
        numbers = [int(one.removeprefix("line ").partition(":")[0]) for one in error.problems]
        assert numbers == sorted(set(numbers))
        assert all(1 <= number <= text.count("\n") + 1 for number in numbers)
    else:
        assert {user.role for user in found.users.values()} <= {Role.READ, Role.OPERATE}


def test_a_change_counts_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A broken or missing file leaves the last good users, with one warning per change."""
    path = tmp_path / "users"
    path.write_text(GOOD)
    users = UsersFile(str(path))
    assert set(users.current().users) == {"anna", "ben@example.com", "carl"}

    path.write_text(f"dora:read:{HASH}\n")
    assert set(users.current().users) == {"dora"}

    caplog.set_level(logging.WARNING)
    path.write_text(f"dora:read:{HASH}\nhunter2\n")
    for _ in range(3):
        assert set(users.current().users) == {"dora"}
    path.unlink()
    for _ in range(3):
        assert set(users.current().users) == {"dora"}
    assert len(caplog.messages) == 2
    assert "line 2" in caplog.messages[0]
    assert "hunter2" not in caplog.text

    path.write_text("")
    assert not users.current().users


def test_a_change_of_the_same_size_in_the_same_moment(tmp_path: Path) -> None:
    """Editors and config maps replace the file; that changes its inode even if size and time are the same."""
    path, other = tmp_path / "users", tmp_path / "new"
    path.write_text(f"anna:read:{HASH}\n")
    users = UsersFile(str(path))
    other.write_text(f"berta:read:{HASH}\n".replace("berta", "bert"))
    os.utime(other, ns=(path.stat().st_mtime_ns,) * 2)
    other.replace(path)
    assert set(users.current().users) == {"bert"}


@pytest.mark.parametrize("content", ["hunter2\n", None, b"\xff\xfe", b"#" * 1024 * 1025])
def test_at_the_start_it_has_to_be_good(tmp_path: Path, content: str | bytes | None) -> None:
    """Otherwise SettingsError, which ends the service with exit code 2."""
    path = tmp_path / "users"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SettingsError, match="FMQ_WEB_USERS_FILE") as caught:
        UsersFile(str(path))
    assert "hunter2" not in str(caught.value)


def test_a_pipe_is_no_users_file(tmp_path: Path) -> None:
    """It must not block the start."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="not a regular file"):
        UsersFile(str(tmp_path / "pipe"))
