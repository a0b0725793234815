"""Connects to the user's database."""

from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect

from fmq.errors import SettingsError, StoreUnavailable
from fmq.extras import missing_part
from fmq.store.backends import backend_of
from fmq_processor.handlers.sql.settings import SqlSettings

_IDLE_CONNECTIONS = 5
_DRIVER = "postgresql+psycopg"


def make_engine(settings: SqlSettings) -> Engine:
    """A pool of connections, as many as there are calls at once; none is made yet.

    Each connection is made with the URL as it is at that moment; only SQLite's file stays the one of the start.

    Raises SettingsError on a URL that can't be read and on a file that is not there or is fmq's own, and if the driver is missing.
    """
    url = _url(settings)
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, settings)
    return _postgresql(url, settings)


def _postgresql(url: URL, settings: SqlSettings) -> Engine:
    try:
        engine = create_engine(
            url.set(drivername=_DRIVER),
            pool_size=_IDLE_CONNECTIONS,
            max_overflow=-1,
            hide_parameters=True,
        )
    except ImportError as error:
        if (missing := missing_part(error)) is None:
            raise
        raise SettingsError(f"FMQ_SQL_URL: a postgresql: URL can't be used: {missing}") from error
    milliseconds = round(settings.sql_statement_seconds * 1000)

    @event.listens_for(engine, "do_connect")
    def use_present_url(dialect: Dialect, _record: object, args: list[Any], options: dict[str, Any]) -> None:
        args[:], present = dialect.create_connect_args(_url(settings).set(drivername=_DRIVER))
        options.clear()
        options.update({**_usual(settings), **present})

    @event.listens_for(engine, "connect")
    def limit_statements(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET statement_timeout = {milliseconds}")
        cursor.close()
        connection.commit()

    return engine


def _url(settings: SqlSettings) -> URL:
    try:
        return make_url(settings.sql_url.get_secret_value())
    except ValueError:
        raise SettingsError("FMQ_SQL_URL: it is invalid") from None


def _usual(settings: SqlSettings) -> dict[str, str]:
    """The default options of the driver."""
    return {
        "connect_timeout": str(max(1, round(settings.sql_connect_seconds))),
        "application_name": "fmq",
        # A server that has vanished is noticed within about as long as a statement may take.
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
    }


def _sqlite(url: URL, settings: SqlSettings) -> Engine:
    _refuse_own_file(settings.sql_url.get_secret_value())
    engine = create_engine(
        url,
        connect_args={"timeout": settings.sql_connect_seconds},
        pool_size=_IDLE_CONNECTIONS,
        max_overflow=-1,
        hide_parameters=True,
    )

    # The driver begins no transaction before a SAVEPOINT, and a deferred one before an INSERT: both are ours to say.
    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: Any, _record: object) -> None:  # noqa: ANN401 - DBAPI
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy's event
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _refuse_own_file(url: str) -> None:
    """Two SQLite libraries must not open one file: one drops the other's locks, and stored messages may be lost."""
    try:
        own = backend_of(url).is_store(url)
    except StoreUnavailable as error:
        raise SettingsError(
            f"FMQ_SQL_URL: the database can't be read; create it with its table first ({error})"
        ) from None
    if own:
        raise SettingsError(f"FMQ_SQL_URL={url!r} is an fmq store, which nothing else may write to; use another file")
