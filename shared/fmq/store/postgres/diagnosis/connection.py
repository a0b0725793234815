"""How a service reaches the server: what its URL says, and each of its hosts."""

import os
from collections.abc import Iterator
from time import time as wall
from typing import NamedTuple

from fmq.clock import SYSTEM_CLOCK
from fmq.errors import QueueError
from fmq.finding import Finding, ok, problem, warning
from fmq.store.options import StoreOptions
from fmq.store.postgres.server.session import Session
from fmq.store.postgres.server.state import MAY_SEE, STANDBYS
from fmq.store.postgres.server.target import Target
from fmq.store.postgres.timekeeping import StoreTime

_CLOCK_SECONDS = 5.0
_CONNECT_SECONDS = "3"
_HERE = ("", "localhost", "::1")
_CERTAIN = "verify-full"
_OTHER_STANDBYS = f"SELECT count(*) FROM ({STANDBYS}) AS standby".encode()
_ENCRYPTED = b"SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
_HOST = b"""
    SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system()),
        extract(epoch FROM clock_timestamp())::float8
"""
# A part of the connections is reserved; database and role may have limits of their own.
_FREE = b"""
    SELECT least(
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0) - (SELECT sum(numbackends) FROM pg_stat_database),
        (SELECT nullif(datconnlimit, -1) - numbackends FROM pg_database JOIN pg_stat_database USING (datname)
            WHERE datname = current_database()),
        (SELECT nullif(rolconnlimit, -1) - (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user)
            FROM pg_roles WHERE rolname = current_user)
    )::int
"""
_FEW_CONNECTIONS = 10
_RIGHTS = f"SELECT {MAY_SEE}".encode()


class _Host(NamedTuple):
    """One host that answers. ``ahead``: how many seconds its clock is ahead of this machine's."""

    name: str
    is_standby: bool
    cluster: int
    ahead: float


def examine_connection(session: Session) -> Iterator[Finding]:
    """What is risky about the way to the server that ``session`` has reached."""
    target = session.target
    if "password" in target.parameters:
        yield warning(
            "password",
            "it is part of FMQ_QUEUE_URL, which process lists, unit files and container inspection can show",
            "Use a password file (passfile=/run/secrets/pgpass in the URL, or PGPASSFILE), or a client certificate.",
        )
    yield from _encryption(session)
    yield from _hosts(session)
    free = session.rows(_FREE)[0][0]
    if free < _FEW_CONNECTIONS:
        yield warning(
            "connections",
            f"the server has room for {free} more: a service may not get in when it connects again",
            "Raise max_connections (or the limit of the database or the role), or end connections that nobody needs. "
            "A listener keeps 3, a processor 4, the web page about 10.",
        )
    if not session.rows(_RIGHTS)[0][0]:
        yield warning(
            "rights",
            "the user can't see standbys and the sessions of other users: checks and metrics of them are incomplete",
            "GRANT pg_monitor TO the user.",
        )


def _encryption(session: Session) -> Iterator[Finding]:
    remote = [one for one in session.target.each() if not _is_here(one.host)]
    mode = session.target.parameters.get("sslmode") or os.environ.get("PGSSLMODE") or "prefer"
    if not remote or mode == _CERTAIN:
        return
    is_encrypted = session.rows(_ENCRYPTED)[0][0]
    known = "encrypted, but nothing proves that it ends at the right server" if is_encrypted else "not encrypted"
    yield warning(
        "encryption",
        f"sslmode={mode}: the connection is {known}",
        f"Add sslmode={_CERTAIN} to FMQ_QUEUE_URL, and sslrootcert=… with the certificate authority of the servers.",
    )


def _is_here(host: str) -> bool:
    return host in _HERE or host.startswith(("/", "@", "127."))


def _hosts(session: Session) -> Iterator[Finding]:
    """Whether each host could take over: it answers, belongs to the same cluster, and has the same time."""
    each = session.target.each()
    found: list[_Host] = []
    for target in each:
        answer = _ask(target)
        if isinstance(answer, _Host):
            found.append(answer)
        else:
            yield warning(
                f"host {target.host}",
                answer,
                "If it becomes primary, fmq can't use it. Check the host, its pg_hba.conf and the network, or remove it from FMQ_QUEUE_URL.",
            )
    primaries = [one.name for one in found if not one.is_standby]
    if len(primaries) > 1:
        yield problem(
            "hosts",
            f"{' and '.join(primaries)} both take writes: fmq may store on either",
            "Stop all but one primary at once, and find out which one has which messages. Look at the failover tool's log.",
        )
    elif len({one.cluster for one in found}) > 1:
        yield problem(
            "hosts",
            f"{', '.join(one.name for one in found)} are not copies of one server (their system identifiers differ)",
            "Remove from FMQ_QUEUE_URL the hosts that don't belong to the store.",
        )
    elif len(each) > 1:
        text = ", ".join(f"{one.name} {'standby' if one.is_standby else 'primary'}" for one in found)
        yield ok("hosts", text)
    elif session.rows(_OTHER_STANDBYS)[0][0]:
        yield warning(
            "hosts",
            f"the server has standbys, but FMQ_QUEUE_URL names {each[0].host or 'one host'} alone",
            "Name all hosts (postgresql://fmq@a,b,c/fmq), unless this name always leads to the primary.",
        )
    for one in found:
        if abs(one.ahead) > _CLOCK_SECONDS:
            yield warning(
                "server clock",
                f"that of {one.name} is {abs(one.ahead):,.0f} s {'ahead of' if one.ahead > 0 else 'behind'} this machine's",
                "Synchronize all hosts (NTP). Leases and delays are measured by the clock of the primary: they would jump.",
            )


def _ask(one: Target) -> _Host | str:
    """The only host of ``one``, or why it does not answer."""
    alone = one.including(target_session_attrs="any", connect_timeout=_CONNECT_SECONDS)
    session = Session(alone, StoreOptions(), StoreTime(SYSTEM_CLOCK))
    try:
        session.connection()
        began = wall()
        is_standby, cluster, now = session.rows(_HOST)[0]
        middle = (began + wall()) / 2
    except QueueError as error:
        return str(error)
    finally:
        session.close()
    return _Host(one.host, is_standby, cluster, now - middle)
