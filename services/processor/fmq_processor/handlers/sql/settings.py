"""Settings of the handler ``sql``."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationInfo, field_validator

from fmq.quantities import show
from fmq.service.settings import HandlerSettings, Names, setting
from fmq_processor.handlers.sql.sources import Source, parse_source

_SQLITE_FILE = re.compile(r"sqlite:///[^?#]+")


class Assignment(NamedTuple):
    """A column and the source of its value."""

    column: str
    text: str
    source: Source


class SqlSettings(HandlerSettings):
    """The settings of ``fmq process --handler sql``."""

    sql_url: SecretStr = setting(
        ...,
        about="URL of the target database. Options after a ? go to the driver (psycopg), such as sslmode.",
        expected="postgresql://user:password@host:5432/database?sslmode=verify-full or sqlite:////path/of/file.db",
    )
    sql_table: str = setting(
        "message",
        about="Target table. It has to exist. Add its schema if that is not the user's default.",
        expected="a table's name, such as reading or measures.reading",
        pattern=r"^[^.]+(\.[^.]+)?$",
    )
    sql_columns: Names = setting(
        ("message_key=key", "topic=topic", "payload=payload", "received_at=received_at"),
        about="Columns and the sources of their values, as column=source, separated by commas.",
        expected="column=source,…, such as message_key=key,device=topic.2,celsius=json:/temperature,tenant=user:tenant",
    )
    sql_key: Names = setting(
        ("message_key",),
        about="Columns that identify a message: the primary key, or columns with a unique constraint. "
        "A row whose key exists already is not written again.",
        expected="one or more of the columns in FMQ_SQL_COLUMNS",
    )
    sql_connect_seconds: float = setting(
        5.0,
        about="Time to wait for a connection, or for another writer of an SQLite file.",
        unit="seconds",
        expected="a time from 1s, such as 5s",
        ge=1,
        le=600,
    )
    sql_statement_seconds: float = setting(
        15.0,
        about="Time that PostgreSQL may take for a statement; 0: no limit. Keep it below FMQ_HANDLER_TIMEOUT.",
        unit="seconds",
        expected="a time, 0 or more, such as 15s",
        ge=0,
        le=86_400,
    )
    sql_patience_seconds: float = setting(
        10.0,
        about="Time for which a batch retries while the database is down, before its messages are given back. "
        "Keep the sum with FMQ_SQL_STATEMENT_SECONDS below FMQ_HANDLER_TIMEOUT.",
        unit="seconds",
        expected="a time, 0 or more, such as 10s",
        ge=0,
        le=3600,
    )

    @field_validator("sql_url")
    @classmethod
    def _url_is_a_database(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        scheme = url.partition(":")[0]
        if scheme == "sqlite":
            if not _SQLITE_FILE.fullmatch(url) or url == "sqlite:///:memory:":
                raise ValueError("the URL of an SQLite file ends with its path")
            return value
        if scheme not in ("postgresql", "postgres"):
            raise ValueError("it must start with postgresql:// or sqlite:///")
        try:
            parts = urlsplit(url)
            named = parts.port != 0 and len(parts.path) > 1
        except ValueError:
            raise ValueError("its host or port is invalid") from None
        if not named:
            raise ValueError("it has no database after the host")
        return value

    @field_validator("sql_columns")
    @classmethod
    def _columns_have_sources(cls, pairs: tuple[str, ...]) -> tuple[str, ...]:
        if not pairs:
            raise ValueError("it is empty")
        columns = [parse_assignment(pair).column for pair in pairs]
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} occurs more than once")
        return pairs

    @field_validator("sql_key")
    @classmethod
    def _key_is_mapped(cls, key: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not key:
            raise ValueError("without a key, a message that comes twice would be written twice")
        pairs = info.data.get("sql_columns")
        if pairs is not None:
            mapped = {parse_assignment(pair).column for pair in pairs}
            missing = [name for name in key if name not in mapped]
            if missing:
                raise ValueError(f"FMQ_SQL_COLUMNS lacks {', '.join(missing)}")
        return key

    def misfits(self, *, calls: int, seconds: float) -> Sequence[str]:  # noqa: ARG002 - any number of calls is fine
        if not seconds or self.sql_patience_seconds + self.sql_statement_seconds < seconds:
            return ()
        problem = (
            f"FMQ_SQL_PATIENCE_SECONDS={show(self.sql_patience_seconds, 'seconds')} and FMQ_SQL_STATEMENT_SECONDS={show(self.sql_statement_seconds, 'seconds')} "
            f"reach FMQ_HANDLER_TIMEOUT={show(seconds, 'seconds')} together, which cuts calls off: expected a smaller sum"
        )
        return (problem,)

    @property
    def assignments(self) -> tuple[Assignment, ...]:
        return tuple(parse_assignment(pair) for pair in self.sql_columns)


def parse_assignment(pair: str) -> Assignment:
    """Read ``column=source``. Raises ValueError."""
    column, equals, text = (part.strip() for part in pair.partition("="))
    if not column or not equals or not text:
        raise ValueError(f"{pair!r} does not have the form column=source")
    return Assignment(column, text, parse_source(text))
