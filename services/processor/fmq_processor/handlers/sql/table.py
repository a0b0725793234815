"""The user's table, checked against the settings."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Column, Connection, Dialect, Insert, Inspector, MetaData, Table, inspect, types
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import NoSuchTableError

from fmq.errors import SettingsError
from fmq.message import Message
from fmq.outcome import Reject
from fmq_processor.handlers.sql.arrays import Arrays, arrays_for
from fmq_processor.handlers.sql.conversion import Convert, conversion
from fmq_processor.handlers.sql.settings import Assignment, SqlSettings
from fmq_processor.handlers.sql.sources import Fields

_SHOWN = 80
Row = Mapping[str, object]


class TableUnfit(SettingsError):
    """The table does not fit the settings."""


class _Cell(NamedTuple):
    """A column, its source and its conversion, which values of the type ``keeps`` do not need."""

    name: str
    assignment: Assignment
    column: Column[Any]
    convert: Convert
    keeps: type | None


class Target:
    """A table, the statement that adds rows to it, and how a message becomes a row."""

    def __init__(self, table: Table, settings: SqlSettings, *, dialect: Dialect) -> None:
        self._key = frozenset(settings.sql_key)
        columns = [table.columns[one.column] for one in settings.assignments]
        self._cells = [
            _Cell(column.name, one, column, *conversion(column.type, dialect=dialect.name))
            for one, column in zip(settings.assignments, columns, strict=True)
        ]
        self.insert = _insert(table, settings, dialect=dialect.name)
        self.arrays: Arrays | None = None
        """A faster statement for many rows, if there is one."""
        if dialect.name == "postgresql":
            names = [one.column for one in settings.assignments]
            self.arrays = arrays_for(table, names, settings.sql_key, dialect=dialect)

    def row(self, message: Message, store: UUID) -> Row:
        """The row of a message. Raises Reject if it does not fit."""
        fields = Fields(message, store)
        row: dict[str, object] = {}
        for name, one, column, convert, keeps in self._cells:
            value = one.source(fields)
            row[name] = value if type(value) is keeps else self._value(value, one, column, convert)
        return row

    def _value(self, value: object, one: Assignment, column: Column[Any], convert: Convert) -> object:
        if value is None:
            if one.column in self._key or not column.nullable:
                raise Reject(f"column {one.column} needs a value, but the message has none at {one.text}")
            return None
        try:
            return convert(value)
        except (ValueError, TypeError, ArithmeticError, OSError) as error:
            raise Reject(
                f"column {one.column} is {column.type}, which can't hold {_shown(value)} ({one.text}): {error}"
            ) from error


def read_table(connection: Connection, settings: SqlSettings) -> Target:
    """Examine the table. Raises TableUnfit with all problems, and the exceptions of SQLAlchemy."""
    schema, _, name = settings.sql_table.rpartition(".")
    try:
        table = Table(name, MetaData(), schema=schema or None, autoload_with=connection, resolve_fks=False)
    except NoSuchTableError:
        raise TableUnfit(
            f"FMQ_SQL_TABLE={settings.sql_table!r}: the database has no such table, or this user can't see it; "
            "create it first"
        ) from None
    problems = [*_problems(table, settings), *_key_problem(inspect(connection), table, settings)]
    if problems:
        raise TableUnfit(
            "\n".join(
                [f"the table {settings.sql_table} and the settings don't fit:", *(f"  {one}" for one in problems)]
            )
        )
    for column in table.columns:
        if isinstance(column.type, types.JSON):
            column.type.none_as_null = True  # no value is NULL, not the JSON word null
    return Target(table, settings, dialect=connection.dialect)


def _problems(table: Table, settings: SqlSettings) -> Iterable[str]:
    named = {one.column for one in settings.assignments}
    for one in settings.assignments:
        if one.column not in table.columns:
            yield (
                f"FMQ_SQL_COLUMNS has {one.column}, but the table has no such column: "
                f"it has {', '.join(column.name for column in table.columns)}"
            )
        elif table.columns[one.column].computed is not None:
            yield f"FMQ_SQL_COLUMNS has {one.column}, which the database computes"
    for column in table.columns:
        if column.name not in named and _needs_a_value(column):
            yield f"column {column.name} needs a value and has no default, but FMQ_SQL_COLUMNS lacks it"


def _needs_a_value(column: Column[Any]) -> bool:
    numbered = column.primary_key and isinstance(column.type, types.Integer)  # SQLite's own row number
    return not (column.nullable or numbered or column.server_default is not None or column.computed or column.identity)


def _key_problem(inspector: Inspector, table: Table, settings: SqlSettings) -> Iterable[str]:
    name, schema = table.name, table.schema
    unique: list[Sequence[str | None]] = [inspector.get_pk_constraint(name, schema)["constrained_columns"]]
    unique += [one["column_names"] for one in inspector.get_unique_constraints(name, schema)]
    unique += [
        one["column_names"]
        for one in inspector.get_indexes(name, schema)
        # One that holds for some rows only does not tell of the others.
        if one["unique"] and not any(key.endswith("_where") for key in one.get("dialect_options", {}))
    ]
    if set(settings.sql_key) not in [set(columns) for columns in unique]:
        yield (
            f"FMQ_SQL_KEY={','.join(settings.sql_key)}: the table has neither a primary key nor a unique constraint of "
            "exactly these columns, so a message that comes twice would be written twice"
        )


def _insert(table: Table, settings: SqlSettings, *, dialect: str) -> Insert:
    """Inserts rows whose key is new and skips the others."""
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing(index_elements=settings.sql_key)
    return sqlite.insert(table).on_conflict_do_nothing(index_elements=settings.sql_key)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
