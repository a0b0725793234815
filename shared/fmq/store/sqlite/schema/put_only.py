"""A connection that stores messages, and does nothing else with them.

CHECKs and triggers are there for rows that other programs write, change or delete (see ``tables``). Passing over them for
each message that is stored takes a fifth of the time of its insertion.
"""

import apsw

from fmq.store.sqlite.names import PREFIX

_OURS = "fmq_*"


class PutOnly:
    """Switches CHECKs and triggers off for a connection, unless somebody has made triggers of their own.

    Triggers keep the counters when messages are changed or deleted, so SQLite refuses statements that do so.
    """

    def __init__(self, sql: apsw.Connection) -> None:
        self._sql = sql
        self._version: int | None = None
        self.look()

    def look(self) -> None:
        """Look for triggers of others, if any table was made or altered since the last look."""
        sql, version = self._sql, self._sql.pragma("schema_version")
        if version == self._version:
            return
        others = sql.execute("SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name NOT GLOB ?", (_OURS,))
        is_alone = others.fetchone() is None
        sql.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, not is_alone)
        sql.pragma("ignore_check_constraints", is_alone)
        sql.authorizer = _refuse_changes if is_alone else None
        self._version = version


def _refuse_changes(action: int, table: str | None, *_: str | None) -> int:
    changes = action in (apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE)
    return apsw.SQLITE_DENY if changes and (table or "").startswith(PREFIX) else apsw.SQLITE_OK
