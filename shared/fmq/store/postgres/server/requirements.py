"""What a server must be before a store is kept in it."""

import re
from typing import Any

import psycopg

from fmq.errors import StoreRefused

OLDEST_SERVER = 14
_LOOK_ALIKES = re.compile(
    r"CockroachDB|-YB-|YugabyteDB|Redshift|Greenplum|openGauss|Materialize|CrateDB|QuestDB", re.IGNORECASE
)


def require_suitable(connection: psycopg.Connection[Any], name: str) -> None:
    """Raise StoreRefused for a server that would break a promise of the store."""
    found = connection.execute(
        "SELECT version(), current_setting('server_version_num'), current_setting('server_encoding'), pg_backend_pid()",
        prepare=False,
    ).fetchone()
    version, number, encoding, pid = found or ("", "0", "", 0)
    if why := unsuitable(str(version), int(number), str(encoding), same_session=pid == connection.info.backend_pid):
        raise StoreRefused(f"{name} can't hold a store: {why}. It was not changed")


def unsuitable(version: str, number: int, encoding: str, *, same_session: bool) -> str | None:
    """Why a server can't hold a store; None if it can.

    ``same_session``: the process that answers is the one that took the connection.
    """
    if not version.startswith(("PostgreSQL", "EnterpriseDB")) or (found := _LOOK_ALIKES.search(version)):
        kind = found[0].strip("-") if version.startswith("PostgreSQL") and found else version.partition(" ")[0]
        return (
            f"the server is not PostgreSQL but {kind}, whose row locks and SKIP LOCKED behave otherwise. "
            "Use PostgreSQL 14 or later"
        )
    if number < OLDEST_SERVER * 10_000:
        return f"PostgreSQL {number // 10_000} is too old. Use PostgreSQL {OLDEST_SERVER} or later"
    if encoding != "UTF8":
        return f"the database has the encoding {encoding}. Create one with: CREATE DATABASE … ENCODING 'UTF8'"
    if not same_session:
        return (
            "a connection pooler (such as PgBouncer) stands before the server, and a session's locks, prepared statements and "
            "notifications would be another's. Connect to the server itself: fmq keeps one connection per thread"
        )
    return None
