"""A part of the store: some of its methods, on the one database that all parts share.

SqliteStore is made of parts. fmq.store.roles says what each method promises.
"""

from fmq.store.sqlite.database import Database


class Part:
    """A few methods of SqliteStore."""

    def __init__(self, database: Database) -> None:
        self._database = database
