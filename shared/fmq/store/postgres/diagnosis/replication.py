"""Whether a commit outlives the server's disk: standbys, their clocks, and slots that keep the log."""

from collections.abc import Iterator

from fmq.finding import Finding, ok, problem, warning
from fmq.store.options import Durability
from fmq.store.postgres.server.session import Session
from fmq.store.postgres.server.state import MAY_SEE, STANDBYS, standbys_wanted

MIB = 1024 * 1024
_SAFE = ("fsync", "full_page_writes")
_DURABLE = b"""
    SELECT current_setting('fsync')::boolean, current_setting('full_page_writes')::boolean,
        current_setting('synchronous_standby_names')
"""
_STREAMING = f"""
    SELECT count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')), count(*),
        {MAY_SEE} OR NOT EXISTS (SELECT 1 FROM pg_stat_replication)
    FROM ({STANDBYS}) AS standby
""".encode()
_SLOTS = b"""
    SELECT slot_name::text, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint,
        current_setting('max_slot_wal_keep_size') = '-1'
    FROM pg_replication_slots WHERE NOT active AND NOT temporary AND restart_lsn IS NOT NULL ORDER BY 1
"""


def examine_replication(session: Session, durability: Durability) -> Iterator[Finding]:
    """What is lost with the server, or with its last second. The server is a primary."""
    *settings, names = session.rows(_DURABLE)[0]
    if off := " and ".join(name for name, is_on in zip(_SAFE, settings, strict=True) if not is_on):
        yield problem(
            "durability",
            f"off: {off}. A power cut can damage the database",
            "Set it to on, and reload the server's configuration.",
        )
    if durability is Durability.NORMAL:
        yield warning(
            "durability",
            "FMQ_SYNCHRONOUS=NORMAL (synchronous_commit is off): a crash or a failover loses the last acknowledged messages",
            "Remove the setting: a listener then waits for the disk and for the synchronous standby (FULL).",
        )
    yield from _standbys(session, names)
    for name, size, is_unlimited in session.rows(_SLOTS):
        limit = "; nothing limits it" if is_unlimited else ""
        yield warning(
            "replication slot",
            f"{name} is not in use and keeps {size / MIB:,.0f} MiB of the log{limit}: the disk may fill up",
            "Start what uses it, or drop it (pg_drop_replication_slot). Set max_slot_wal_keep_size.",
        )
    yield ok("disk", "the server's: fmq can't see it. Watch its free space there")


def _standbys(session: Session, names: str) -> Iterator[Finding]:
    wanted = standbys_wanted(names)
    synchronous, streaming, is_certain = session.rows(_STREAMING)[0]
    found = f"synchronous standbys ({names}): needed: {wanted}, streaming: {synchronous}"
    if not wanted:
        text = "no synchronous standby: acknowledged messages are lost with the server's disk"
        if streaming:
            text = f"only asynchronous standbys ({streaming}): a failover loses the last acknowledged messages"
        yield warning(
            "standby",
            text,
            "Set synchronous_standby_names, for example to ANY 1 (a, b), and let only such a standby become primary.",
        )
    elif not is_certain:
        yield warning(
            "standby",
            f"the user may not see whether a synchronous standby is streaming ({names})",
            "GRANT pg_monitor TO the user.",
        )
    elif synchronous < wanted:
        yield problem(
            "standby",
            f"{found}: commits wait, and intake has stopped",
            "Start a standby, and see its log. Its application_name must be in synchronous_standby_names.",
        )
    else:
        yield ok("standby", found)
