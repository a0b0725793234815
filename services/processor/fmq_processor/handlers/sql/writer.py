"""Writes rows in one transaction. If some are refused, finds them and stores the others."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Engine, Insert
from sqlalchemy.exc import DBAPIError

from fmq_processor.handlers.sql.failure import ROW_ERRORS, is_of_a_row, is_of_a_statement
from fmq_processor.handlers.sql.table import Row, Target


class Written(NamedTuple):
    """The result of a write. ``refused`` are errors by position; ``stored`` rows were new, the others existed already."""

    stored: int
    refused: dict[int, Exception]


def write(engine: Engine, target: Target, rows: Sequence[Row]) -> Written:
    """Store ``rows`` in one transaction, except those that the database refuses.

    Raises every error that is not caused by a row. Then nothing is stored, or everything if the answer to the commit was lost.
    """
    try:
        return _write(engine, target, rows)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        # It had ended while it was idle, perhaps. Asking before each batch would be one more round trip.
        return _write(engine, target, rows)


def _write(engine: Engine, target: Target, rows: Sequence[Row]) -> Written:
    insert = target.insert
    if target.arrays:
        try:
            # Its own transaction: BEGIN and COMMIT would be two more round trips.
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                parameters = target.arrays.parameters(rows)
                return Written(connection.exec_driver_sql(target.arrays.statement, parameters).rowcount, {})
        except ROW_ERRORS as error:
            if not is_of_a_row(error) and not is_of_a_statement(error):
                raise
    try:
        with engine.begin() as connection:
            return Written(_insert(connection, insert, rows), {})
    except ROW_ERRORS as error:
        if not is_of_a_row(error):
            raise
        if len(rows) == 1:
            return Written(0, {0: error})
    refused: dict[int, Exception] = {}
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            # A deferred constraint would fail at the commit, and not tell by which row.
            connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
        stored = _halve(connection, insert, rows, 0, refused)
    return Written(stored, refused)


def _halve(
    connection: Connection, insert: Insert, rows: Sequence[Row], first: int, refused: dict[int, Exception]
) -> int:
    """Store ``rows``, of which the first is at position ``first``, and note the refused ones. Returns how many were new."""
    try:
        with connection.begin_nested():
            return _insert(connection, insert, rows)
    except ROW_ERRORS as error:
        if not is_of_a_row(error):
            raise
        if len(rows) == 1:
            refused[first] = error
            return 0
    middle = len(rows) // 2
    return _halve(connection, insert, rows[:middle], first, refused) + _halve(
        connection, insert, rows[middle:], first + middle, refused
    )


def _insert(connection: Connection, insert: Insert, rows: Sequence[Row]) -> int:
    return connection.execute(insert, rows, execution_options={"preserve_rowcount": True}).rowcount
