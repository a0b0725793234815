"""The web page's part of `fmq doctor`: who may see it, and whether it reaches its broker."""

import os
import stat
from collections.abc import Iterator, Mapping

from fmq.errors import SettingsError
from fmq.finding import Finding, ok, problem, warning
from fmq.outcome import Unavailable
from fmq.service import inventory
from fmq_web.access.users_file import UsersFile
from fmq_web.operations.publisher import Publisher
from fmq_web.settings import WebSettings, is_loopback

_ABOUT = "web page"
_ABOUT_BROKER = "web page's broker"
_ABOUT_USERS = "web page's users"


def check_web(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Who may see the page, whether they can sign in, and whether its broker is reached. Raises SettingsError."""
    settings = inventory.read(WebSettings, environ)
    where = "this machine only" if is_loopback(settings.web_host) else f"all who reach {settings.web_host}"
    if settings.anonymous_reads:
        yield ok(_ABOUT, "everyone on this machine may read it, and nobody else; changes need the password in its log")
    elif settings.web_password is None and settings.web_users_file is None:
        yield warning(
            _ABOUT,
            f"for {where}, with a new password in its log at each start",
            "Set FMQ_WEB_PASSWORD_FILE, or FMQ_WEB_USERS_FILE.",
        )
    else:
        yield ok(_ABOUT, f"for {where}, who sign in")
    if not (is_loopback(settings.web_host) or settings.web_hosts):
        yield warning(
            _ABOUT,
            "it is served under its address only",
            "If it has a name, set FMQ_WEB_HOSTS. Use a reverse proxy with TLS: passwords cross the network.",
        )
    if settings.web_users_file is not None:
        yield from _users(settings.web_users_file)
    if settings.broker is not None and "listener" not in inventory.services():  # whose check asks the same broker
        yield from _broker(Publisher(settings, settings.broker))


def _broker(publisher: Publisher) -> Iterator[Finding]:
    try:
        publisher.check()
    except Unavailable as error:
        advice = "Messages can't be published again from the page. Check FMQ_BROKER_URL, its user and its password."
        yield problem(_ABOUT_BROKER, error.reason, advice)
    else:
        yield ok(_ABOUT_BROKER, f"{publisher.broker} accepts the connection")


def _users(path: str) -> Iterator[Finding]:
    try:
        found = UsersFile(path).current()
    except SettingsError as error:
        for line in str(error).splitlines():
            yield problem(_ABOUT_USERS, line, "Correct the file. The web page does not start with a broken one.")
        return
    mode = stat.S_IMODE(os.stat(path).st_mode)  # noqa: PTH116 - as given
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield problem(_ABOUT_USERS, f"others may change {path} (mode {mode:o})", f"Run: chmod 600 {path}")
    elif mode & stat.S_IROTH:
        yield warning(
            _ABOUT_USERS, f"everyone on this machine may read {path} (mode {mode:o})", f"Run: chmod 600 {path}"
        )
    text = f"{len(found.users)} users and {len(found.tokens)} tokens in {path}"
    if found.users or found.tokens:
        yield ok(_ABOUT_USERS, text)
    else:
        yield warning(
            _ABOUT_USERS, text, "Nobody can sign in. Add a line that `fmq web user NAME --role operate` prints."
        )
