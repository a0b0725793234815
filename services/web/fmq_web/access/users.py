"""Users and tokens, as the users' file has them: ``NAME:ROLE:SECRET``, one per line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fmq_web.access.passwords import PasswordHash
from fmq_web.access.role import Role
from fmq_web.access.tokens import parse_digest

OPERATOR = "operator"
BY_PROXY = "proxy"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_ROLES = {role.value: role for role in (Role.READ, Role.OPERATE)}


class BrokenUsers(ValueError):
    """Some lines of a users' file are broken. ``problems`` names each line by its number and has nothing of its text."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class User:
    """Someone who signs in with a password; ``secret`` is None for one whom only a trusted proxy names."""

    name: str
    role: Role
    secret: PasswordHash | None = None

    @property
    def stamp(self) -> bytes:
        """Changes with the password, so that a new password ends the sessions of the old one."""
        return self.secret.digest if self.secret else b""


@dataclass(frozen=True, slots=True)
class Token:
    """A program's access."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Users:
    """The contents of a users' file."""

    users: Mapping[str, User] = field(default_factory=dict)
    tokens: Mapping[str, Token] = field(default_factory=dict)
    """By the hash of the token."""


def check_name(name: str) -> str:
    """Returns ``name`` if a user or a token may have it. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError("a name has up to 64 letters, digits or ._@+- and starts with a letter or a digit")
    return name


def parse_users(text: str) -> Users:
    """Read the text of a users' file. Empty lines and those that start with # are ignored. Raises BrokenUsers."""
    users: dict[str, User] = {}
    tokens: dict[str, Token] = {}
    problems: list[str] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            _read(line.strip(), users, tokens)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        raise BrokenUsers(problems)
    return Users(users, tokens)


def _read(line: str, users: dict[str, User], tokens: dict[str, Token]) -> None:
    parts = line.split(":")
    if len(parts) != 3:
        raise ValueError("expected NAME:ROLE:SECRET, as `fmq web user` and `fmq web token` print it")
    name, role, secret = parts
    check_name(name)
    if role not in _ROLES:
        raise ValueError("the role is neither read nor operate")
    if secret.startswith("sha256$"):
        digest = parse_digest(secret)
        if digest in tokens:
            raise ValueError("another line has the same token")
        tokens[digest] = Token(name, _ROLES[role])
        return
    if name in users:
        raise ValueError("another line has the same user")
    users[name] = User(name, _ROLES[role], None if secret == BY_PROXY else PasswordHash.parse(secret))
