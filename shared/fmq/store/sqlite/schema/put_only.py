"""A connection that stores messages, and does nothing else with them.

CHECKs and triggers are there for rows that other programs write, change or delete (see ``tables``). Passing over them for
each message that is stored takes a fifth of the time of its insertion.
"""

import apsw

from fmq.store.sqlite.names import PREFIX

_OURS = "fmq_*"


def let_only_put(sql: apsw.Connection) -> None:
    """Switch CHECKs and triggers off for this connection.

    Triggers keep the counters when messages are changed or deleted, so SQLite refuses statements that do so. Where somebody has
    made triggers of their own, everything stays as it is.
    """
    if sql.execute("SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name NOT GLOB ?", (_OURS,)).fetchone():
        return
    sql.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    sql.pragma("ignore_check_constraints", True)
    sql.authorizer = _refuse_changes


def _refuse_changes(action: int, table: str | None, *_: str | None) -> int:
    changes = action in (apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE)
    return apsw.SQLITE_DENY if changes and (table or "").startswith(PREFIX) else apsw.SQLITE_OK
