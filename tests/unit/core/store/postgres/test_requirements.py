"""Which servers are refused."""

import pytest

from fmq.store.postgres.server.requirements import unsuitable

_DEBIAN = "PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu"


@pytest.mark.parametrize(
    ("version", "number", "encoding", "same_session", "why"),
    [
        (_DEBIAN, 150018, "UTF8", True, None),
        ("PostgreSQL 14.0 on aarch64", 140000, "UTF8", True, None),
        ("PostgreSQL 13.20 on x86_64", 130020, "UTF8", True, "PostgreSQL 13 is too old"),
        ("CockroachDB CCL v23.1.11", 130000, "UTF8", True, "not PostgreSQL but CockroachDB"),
        ("PostgreSQL 11.2-YB-2.20.1.0-b0 on x86_64", 110002, "UTF8", True, "not PostgreSQL but YB"),
        ("PostgreSQL 8.0.2 on i686, Redshift 1.0.6", 80002, "UTF8", True, "not PostgreSQL but Redshift"),
        (_DEBIAN, 150018, "SQL_ASCII", True, "has the encoding SQL_ASCII"),
        (_DEBIAN, 150018, "UTF8", False, "connection pooler"),
    ],
)
def test_servers(version: str, number: int, encoding: str, why: str | None, *, same_session: bool) -> None:
    """Old ones, look-alikes, databases that can't hold any topic, and poolers; each with the reason."""
    found = unsuitable(version, number, encoding, same_session=same_session)
    assert found is None if why is None else why in str(found)
