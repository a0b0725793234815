"""What keeps the server from cleaning up dead rows, which every claim walks over."""

from collections.abc import Iterator

from fmq.finding import Finding, ok, warning
from fmq.store.postgres.server.session import Session
from fmq.store.postgres.server.state import PREPARED, SESSIONS

_LONG_SECONDS = 60.0
_LONG_TRANSACTIONS = 1_000_000
_OLDEST = f"SELECT pid, usename::text, application_name, seconds FROM ({SESSIONS}) AS session WHERE holds ORDER BY seconds DESC LIMIT 1".encode()
_PREPARED = f"SELECT gid, seconds FROM ({PREPARED}) AS prepared ORDER BY seconds DESC LIMIT 1".encode()
_FAR = b"""
    SELECT * FROM (
        SELECT 'replication slot ' || slot_name, age(xmin) AS behind FROM pg_replication_slots
        UNION ALL SELECT 'standby ' || application_name, age(backend_xmin) FROM pg_stat_replication
    ) AS holder WHERE behind > %(most)s ORDER BY behind DESC LIMIT 1
"""
_AUTOVACUUM = b"SELECT current_setting('autovacuum')::boolean AND current_setting('track_counts')::boolean"
_DISABLED = b"""
    SELECT relname::text FROM pg_class, pg_options_to_table(reloptions)
    WHERE relnamespace = current_schema()::regnamespace AND relname LIKE 'fmq\\_%%'
    AND option_name = 'autovacuum_enabled' AND NOT option_value::boolean ORDER BY 1
"""
_IDLE = b"SELECT reset_val FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'"
_SLOW = "dead rows pile up, and claims become slow"


def examine_cleaning(session: Session) -> Iterator[Finding]:
    """Autovacuum, and everything that holds it back. What goes on in other databases does not matter."""
    disabled = [name for (name,) in session.rows(_DISABLED)]
    if not session.rows(_AUTOVACUUM)[0][0]:
        yield warning("autovacuum", f"it is off: {_SLOW}", "Set autovacuum and track_counts to on.")
    elif disabled:
        yield warning(
            "autovacuum",
            f"it is off for {', '.join(disabled)}: {_SLOW}",
            "ALTER TABLE … RESET (autovacuum_enabled).",
        )
    else:
        yield ok("autovacuum", "on")
    found = False
    for pid, user, program, seconds in session.rows(_OLDEST):
        if found := seconds > _LONG_SECONDS:
            yield warning(
                "transactions",
                f"one of {user} ({program or 'no name'}, process {pid}) in this database has been open for {seconds:,.0f} s: {_SLOW}",
                f"End it (SELECT pg_terminate_backend({pid})), or move its work to another database.",
            )
    for name, seconds in session.rows(_PREPARED):
        if seconds > _LONG_SECONDS:
            yield warning(
                "transactions",
                f"the prepared transaction {name!r} has been open for {seconds:,.0f} s: {_SLOW}",
                "End it: COMMIT PREPARED or ROLLBACK PREPARED.",
            )
    for holder, behind in session.rows(_FAR, {"most": _LONG_TRANSACTIONS}):
        yield warning(
            "transactions",
            f"{holder} holds back the cleaning of the last {behind:,} transactions: {_SLOW}",
            "End the long query on the standby, or drop a slot that nobody uses.",
        )
    if session.rows(_IDLE)[0][0] == "0" and not found:
        yield warning(
            "idle transactions",
            "idle_in_transaction_session_timeout is 0: a forgotten BEGIN in this database slows every claim until it ends",
            "ALTER DATABASE … SET idle_in_transaction_session_timeout = '5min'. fmq's own sessions have a limit already.",
        )
