"""Decides whether a database is an fmq store, and of which version."""

import apsw

from fmq.store.recognition import Kind, Recognized
from fmq.store.sqlite.schema.migrations import APPLICATION_ID, FIRST_VERSION, LATEST_VERSION


def recognize(connection: apsw.Connection) -> Recognized:
    """Examine an open database without writing."""
    with connection:  # one snapshot: between two statements another process may have made the store
        application_id = connection.pragma("application_id")
        version = int(connection.pragma("user_version"))
        is_empty = not connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
    if application_id != APPLICATION_ID:
        return Recognized(Kind.EMPTY if is_empty else Kind.FOREIGN, 0, LATEST_VERSION)
    if version > LATEST_VERSION:
        return Recognized(Kind.NEWER, version, LATEST_VERSION)
    if version < FIRST_VERSION:
        return Recognized(Kind.TOO_OLD, version, LATEST_VERSION)
    return Recognized(Kind.CURRENT if version == LATEST_VERSION else Kind.OLDER, version, LATEST_VERSION)
