"""`fmq web user`, `fmq web token`, and the flags of `fmq web`."""

import pytest
from click.testing import CliRunner

from fmq_web.__main__ import web
from fmq_web.access.passwords import PasswordHash
from fmq_web.access.role import Role
from fmq_web.access.tokens import digest_of
from fmq_web.access.users import parse_users


def test_a_user_from_standard_input() -> None:
    """The line on standard output is one for the users' file; the password is nowhere in it."""
    ran = CliRunner().invoke(
        web, ["user", "anna", "--role", "operate"], input="hunter2hunter2\n", standalone_mode=False
    )
    assert ran.return_value == 0, ran.output
    user = parse_users(ran.stdout).users["anna"]
    assert user.role is Role.OPERATE
    assert isinstance(user.secret, PasswordHash)
    assert user.secret.matches("hunter2hunter2")
    assert "hunter2" not in ran.output


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["user", "anna", "--role", "read"], "short\n", "A password has 8 to 1024 characters."),
        (["user", "anna", "--role", "read"], "", "A password has 8 to 1024 characters."),
        (["user", "an:na", "--role", "read"], "12345678\n", "a name has up to 64 letters"),
        (["user", "anna"], "12345678\n", "Missing option '--role'"),
        (["token", "ci", "--role", "admin"], "", "'admin' is not one of 'read', 'operate'"),
    ],
)
def test_what_they_refuse(arguments: list[str], given: str, said: str) -> None:
    """With a message, a status, and no line."""
    ran = CliRunner().invoke(web, arguments, input=given)
    assert ran.exit_code != 0
    assert said in ran.output
    assert not ran.stdout


def test_a_token() -> None:
    """The line goes to standard output, so `>> users` keeps the token itself out of the file."""
    ran = CliRunner().invoke(web, ["token", "ci", "--role", "read"], standalone_mode=False)
    made = ran.stderr.split(": ")[1].strip()
    assert parse_users(ran.stdout).tokens.keys() == {digest_of(made)}
    assert made not in ran.stdout


def test_help_names_commands_and_settings() -> None:
    """But no secret has a flag."""
    shown = CliRunner().invoke(web, ["--help"]).output
    assert all(one in shown for one in ("user ", "token ", "--web-port", "--web-hosts", "--queue-url"))
    assert not any(one in shown for one in ("--web-password", "--topics", "--tracing", "--check-integrity"))
