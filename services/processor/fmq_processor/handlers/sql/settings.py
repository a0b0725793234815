"""What the handler ``sql`` is told."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationInfo, field_validator

from fmq.settings import HandlerSettings, Names, setting
from fmq_processor.handlers.sql.sources import Source, parse_source

_SQLITE_FILE = re.compile(r"sqlite:///[^?#]+")


class Assignment(NamedTuple):
    """A column, and where its value comes from."""

    column: str
    text: str
    source: Source


class SqlSettings(HandlerSettings):
    """The settings of ``fmq process --handler sql``."""

    sql_url: SecretStr = setting(
        ...,
        about="The database that messages are written to; what follows a ? goes to the driver (psycopg), such as sslmode.",
        right="postgresql://user:password@host:5432/database?sslmode=verify-full or sqlite:////path/of/file.db",
    )
    sql_table: str = setting(
        "message",
        about="The table, which has to exist; with its schema, if that is not the user's usual one.",
        right="a table's name, such as reading or measures.reading",
        pattern=r"^[^.]+(\.[^.]+)?$",
    )
    sql_columns: Names = setting(
        ("message_key=key", "topic=topic", "payload=payload", "received_at=received_at"),
        about="The columns and where their values come from, with commas between: column=source.",
        right="column=source,…, such as message_key=key,device=topic.2,celsius=json:/temperature,tenant=user:tenant",
    )
    sql_key: Names = setting(
        ("message_key",),
        about="The columns by which the table knows a message: they are its primary key or have a unique constraint. "
        "A row whose key is there already is not written again.",
        right="one or more of the columns in FMQ_SQL_COLUMNS",
    )
    sql_connect_seconds: float = setting(
        5.0,
        about="How long to wait for a connection to the database, or for another writer of an SQLite file.",
        right="seconds from 1, such as 5",
        ge=1,
        le=600,
    )
    sql_statement_seconds: float = setting(
        15.0,
        about="How long PostgreSQL may take over one statement; keep it below FMQ_HANDLER_TIMEOUT. 0: as long as it likes.",
        right="seconds, 0 or more, such as 15",
        ge=0,
        le=86_400,
    )
    sql_patience_seconds: float = setting(
        10.0,
        about="How long a batch tries again by itself while the database is down, before its messages are given back; "
        "together with FMQ_SQL_STATEMENT_SECONDS keep it below FMQ_HANDLER_TIMEOUT.",
        right="seconds, 0 or more, such as 10",
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
                raise ValueError("an SQLite database is a file, with nothing behind its path")
            return value
        if scheme not in ("postgresql", "postgres"):
            raise ValueError("it begins with neither postgresql:// nor sqlite:///")
        try:
            parts = urlsplit(url)
            named = parts.port != 0 and len(parts.path) > 1
        except ValueError:
            raise ValueError("its host or port can't be read") from None
        if not named:
            raise ValueError("it names no database behind the host")
        return value

    @field_validator("sql_columns")
    @classmethod
    def _columns_have_sources(cls, pairs: tuple[str, ...]) -> tuple[str, ...]:
        if not pairs:
            raise ValueError("no column is named")
        columns = [parse_assignment(pair).column for pair in pairs]
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is named more than once")
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
                raise ValueError(f"FMQ_SQL_COLUMNS does not name {', '.join(missing)}")
        return key

    def misfits(self, *, calls: int, seconds: float) -> Sequence[str]:  # noqa: ARG002 - any number of calls is fine
        if not seconds or self.sql_patience_seconds + self.sql_statement_seconds < seconds:
            return ()
        problem = (
            f"FMQ_SQL_PATIENCE_SECONDS={self.sql_patience_seconds:g} and FMQ_SQL_STATEMENT_SECONDS={self.sql_statement_seconds:g} "
            f"together reach FMQ_HANDLER_TIMEOUT={seconds:g}, which would cut calls off; they would be less"
        )
        return (problem,)

    @property
    def assignments(self) -> tuple[Assignment, ...]:
        return tuple(parse_assignment(pair) for pair in self.sql_columns)


def parse_assignment(pair: str) -> Assignment:
    """Read ``column=source``. Raises ValueError."""
    column, equals, text = (part.strip() for part in pair.partition("="))
    if not column or not equals or not text:
        raise ValueError(f"{pair!r} is not like column=source")
    return Assignment(column, text, parse_source(text))
