"""Says in a few words why no server can be used. libpq's own text has several lines for each host."""

import re
from collections.abc import Sequence

import psycopg

from fmq.text import plain

_PORT = "5432"
_HOST = re.compile(r"^- host: (.+?), port: (.+?), hostaddr: .+?: (?=\S)", re.MULTILINE)
_STARTS_UP, _SHUTS_DOWN, _IS_STANDBY = "is starting up", "is shutting down", "is a standby or read-only"
_IS_FULL = "has no free connection (max_connections)"
_REFUSES_USER = "refuses the user or the password"
_REFUSES_HOST = "does not let this user in from this host (pg_hba.conf)"
_NO_DATABASE, _NO_USER = "has no such database", "has no such user"
_REFUSALS = frozenset((_REFUSES_USER, _REFUSES_HOST, _NO_DATABASE, _NO_USER))
_PASSING = frozenset((_STARTS_UP, _SHUTS_DOWN, _IS_STANDBY, _IS_FULL))
# In the order in which they are looked for. What is not among them is shown as it is, as is a text in another language.
_KINDS = tuple(
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        (r"is starting up|not yet accepting connections|in recovery mode", _STARTS_UP),
        (r"is shutting down", _SHUTS_DOWN),
        (r"session is read-only|is not accepting connections", _IS_STANDBY),
        (r"authentication failed|no password supplied|not permitted to log in", _REFUSES_USER),
        (r"pg_hba\.conf", _REFUSES_HOST),
        (r"database \".*\" does not exist", _NO_DATABASE),
        (r"role \".*\" does not exist", _NO_USER),
        (r"too many (?:clients|connections)|connection slots", _IS_FULL),
        (r"connection refused", "refuses the connection: is it running?"),
        (r"timeout expired|timed out", "does not answer"),
        (r"no route to host|network is unreachable|host is down", "can't be reached: the network has no route to it"),
        (r"failed to resolve|could not translate|name or service not known", "has a name that can't be resolved"),
        (r"certificate", "has a certificate that is not trusted"),
        (r"closed the connection unexpectedly|reset by peer", "ended the connection"),
    )
)


def why_unreachable(error: psycopg.OperationalError) -> str:
    """One clause for each host that was tried. ``error`` ended the attempt to connect. Without a password: libpq shows none."""
    answers = _answers(error)
    if len(answers) == 1:
        return " ".join(answers[0])
    told = dict.fromkeys(f"{server} {words}" for server, words in answers)
    return f"no server takes writes: {'; '.join(told)}"


def refuses_login(error: psycopg.OperationalError) -> bool:
    """Whether the user, the password or the database is wrong: a server says so, and no other one may take the login later.

    libpq gives no code (28P01, 28000, 3D000) for what ends an attempt to connect. So in another language than English a refusal counts
    as an outage.
    """
    words = {words for _, words in _answers(error)}
    return not words.isdisjoint(_REFUSALS) and words.isdisjoint(_PASSING)


def _answers(error: psycopg.OperationalError) -> Sequence[tuple[str, str]]:
    """Each server with the words for what it said."""
    text = str(error)
    parts = _HOST.split(text)  # a text, then host, port and text of each
    if len(parts) < 4:
        return [("the server", _words(text))]
    hosts = zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    return [(_shown(host, port), _words(answer)) for host, port, answer in hosts]


def _shown(host: str, port: str) -> str:
    host, port = host.strip("'"), port.strip("'")
    return plain(host if port == _PORT else f"{host}:{port}")


def _words(text: str) -> str:
    for kind, words in _KINDS:
        if kind.search(text):
            return words
    last = plain(" ".join(text.rpartition(" failed: ")[2].split())).rstrip(".")
    return f"can't be used ({last})"
