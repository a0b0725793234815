"""Reads the state of the server: its standbys, what holds back its cleaning, and the rows that it has not cleaned up."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from fmq.store.postgres.server.tally import TALLY
from fmq.store.records import ServerState

_FIRST_OR_ANY = re.compile(r"\s*(?:(?:FIRST|ANY)\s+)?(\d+)\s*\(", re.IGNORECASE)
STANDBYS = """
    SELECT sync_state, application_name, reply_time, coalesce(extract(epoch FROM flush_lag), 0)::float8 AS seconds,
        CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_flush_lsn(), flush_lsn)::bigint END AS bytes
    FROM pg_stat_replication AS sender WHERE state = 'streaming'
    AND NOT EXISTS (SELECT 1 FROM pg_replication_slots WHERE slot_type = 'logical' AND active_pid = sender.pid)
"""
"""SQL: the standbys that stream, without logical subscribers, which can't become primary."""
MAY_SEE = "pg_has_role('pg_read_all_stats', 'USAGE')"
"""SQL: whether the user sees the sessions of others and the standbys (as a member of pg_monitor does)."""
SESSIONS = """
    SELECT pid, usename, application_name, extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds,
        backend_xmin IS NOT NULL OR backend_xid IS NOT NULL AS holds
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
"""
"""SQL: the transactions in this database. One with a snapshot or changes holds back the cleaning of rows that died after it."""
PREPARED = """
    SELECT gid, owner, extract(epoch FROM clock_timestamp() - prepared)::float8 AS seconds
    FROM pg_prepared_xacts WHERE database = current_database()
"""
"""SQL: prepared transactions in this database. They outlive their sessions, and hold back cleaning too."""
_STATE = f"""
    WITH standby AS MATERIALIZED ({STANDBYS}), best AS (SELECT bytes, CASE WHEN bytes > 0 THEN seconds ELSE 0 END AS seconds FROM standby ORDER BY bytes, seconds LIMIT 1),
        transaction AS MATERIALIZED (SELECT seconds, holds FROM ({SESSIONS}) AS session UNION ALL SELECT seconds, true FROM ({PREPARED}) AS prepared)
    SELECT NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::boolean,
        CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_lsn()) END, current_setting('synchronous_standby_names'),
        {MAY_SEE} OR NOT EXISTS (SELECT 1 FROM pg_stat_replication),
        (SELECT count(*) FROM standby WHERE sync_state IN ('sync', 'quorum')), (SELECT bytes FROM best), (SELECT seconds FROM best),
        (SELECT coalesce(max(seconds), 0) FROM transaction), (SELECT coalesce(max(seconds), 0) FROM transaction WHERE holds)
""".encode()
_DEAD_ROWS = b"""
    SELECT name, pg_stat_get_dead_tuples(to_regclass('fmq_due_' || number))
    FROM fmq_queue WHERE to_regclass('fmq_due_' || number) IS NOT NULL
"""


def standbys_wanted(names: str) -> int:
    """How many standbys a commit waits for, by ``synchronous_standby_names`` (postgresql.org, "Replication")."""
    found = _FIRST_OR_ANY.match(names)
    return int(found[1]) if found else int(bool(names.strip()))


def read_state(rows: Callable[[bytes], list[tuple[Any, ...]]]) -> ServerState:
    """The state of the server at the moment. ``rows`` runs a statement."""
    primary, file, names, sees, streaming, lag_bytes, lag_seconds, transaction, snapshot = rows(_STATE)[0]
    dead: Mapping[str, int] = dict(rows(_DEAD_ROWS))
    return ServerState(
        is_primary=primary,
        timeline=int(file[:8], 16) if file else None,
        standbys_wanted=standbys_wanted(names),
        standbys_streaming=streaming if sees else None,
        lag_bytes=lag_bytes,
        lag_seconds=lag_seconds,
        oldest_transaction=transaction,
        oldest_snapshot=snapshot,
        dead_rows=dead,
        reconnects=TALLY.reconnects,
        retries=TALLY.retries,
    )
