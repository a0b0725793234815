"""Who may come in: the operator's password, the users' file, tokens and sessions."""

import hashlib
import hmac
import logging
import secrets
from concurrent.futures import Future, ThreadPoolExecutor

from pydantic import SecretStr

from fmq.clock import Clock
from fmq_web.access.limits import SignInLimits
from fmq_web.access.passwords import PasswordHash, password_bytes
from fmq_web.access.role import Role
from fmq_web.access.sessions import Session, Sessions
from fmq_web.access.tokens import digest_of
from fmq_web.access.users import OPERATOR, Token, User, Users
from fmq_web.access.users_file import UsersFile
from fmq_web.settings import WebSettings

_log = logging.getLogger(__name__)
_NO_USERS = Users()


class Door:
    """Checks passwords, tokens and sessions. Raises SettingsError if the users' file can't be used.

    Without a password and a users' file, it logs a new password for the user operator. The server's loop owns it.
    """

    def __init__(self, settings: WebSettings, clock: Clock) -> None:
        self._file = UsersFile(settings.web_users_file) if settings.web_users_file else None
        self._password = settings.web_password
        self._proxy_role = Role(settings.web_proxy_role)
        self._salt = secrets.token_bytes(16)
        # One scrypt at a time: it takes 32 MiB and a whole processor.
        self._checks = ThreadPoolExecutor(1, thread_name_prefix="sign-in")
        self._nobody = PasswordHash.of_nobody()
        self.anonymous_reads = settings.anonymous_reads
        self.sessions = Sessions(clock)
        self.limits = SignInLimits(clock)
        if self._password is None and self._file is None:
            made = secrets.token_urlsafe(12)
            self._password = SecretStr(made)
            _log.warning(
                "No password is set. Until the next start, sign in as %s with the password %s (or set FMQ_WEB_PASSWORD)",
                OPERATOR,
                made,
            )

    def check(self, name: str, password: str) -> Future[bool]:
        """Whether ``password`` is that of the user ``name``. Takes as long for one who does not exist."""
        return self._checks.submit(self._check, name, password)

    def close(self) -> None:
        """End the thread that checks passwords."""
        self._checks.shutdown(cancel_futures=True)

    def _check(self, name: str, password: str) -> bool:
        expected = self._operator_password()
        if name == OPERATOR and expected is not None:
            self._nobody.matches(password)  # costs the same as for any other user
            return hmac.compare_digest(self._stamp(password), self._stamp(expected))
        user = self._users().users.get(name)
        secret = user.secret if user else None
        return (secret or self._nobody).matches(password) and secret is not None

    def knows(self, name: str) -> bool:
        """Whether ``name`` can sign in."""
        return self._user_stamp(name, self._users()) is not None

    def start_session(self, name: str) -> str | None:
        """A new session's id, after ``check``. None if the user has gone meanwhile."""
        stamp = self._user_stamp(name, self._users())
        return None if stamp is None else self.sessions.start(name, stamp)

    def session(self, secret: str, *, seen: bool = True) -> tuple[Session, Role] | None:
        """The session with this id and its user's present role. None if it has ended. ``seen``: it is used now."""
        session = self.sessions.find(secret, seen=seen)
        if session is None:
            return None
        users = self._users()
        if self._user_stamp(session.name, users) != session.stamp:
            self.sessions.end(session.key)
            return None
        return session, self._role(session.name, users)

    def token(self, token: str) -> Token | None:
        """The owner of a token."""
        return self._users().tokens.get(digest_of(token))

    def proxied(self, name: str) -> Role:
        """The role of a user that a trusted proxy names."""
        user = self._users().users.get(name)
        return user.role if user else self._proxy_role

    def sweep(self) -> list[str]:
        """End sessions whose time is over or whose user has gone or has a new password. Returns all that ended lately."""
        users = self._users()
        return self.sessions.sweep(lambda one: self._user_stamp(one.name, users) == one.stamp)

    def _users(self) -> Users:
        return self._file.current() if self._file else _NO_USERS

    def _operator_password(self) -> str | None:
        return self._password.get_secret_value() if self._password else None

    def _role(self, name: str, users: Users) -> Role:
        return Role.OPERATE if name == OPERATOR and self._password is not None else users.users[name].role

    def _user_stamp(self, name: str, users: Users) -> bytes | None:
        """Changes with the user's password. None for one who can't sign in."""
        expected = self._operator_password()
        if name == OPERATOR and expected is not None:
            return self._stamp(expected)
        user: User | None = users.users.get(name)
        return user.stamp if user and user.secret else None

    def _stamp(self, password: str) -> bytes:
        return hashlib.sha256(self._salt + password_bytes(password)).digest()
