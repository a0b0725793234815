"""Writes messages as rows: one transaction per batch, and no second row for a message that comes twice."""

import logging
import time
from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError

from fmq.message import Message
from fmq.outcome import Reject, Unavailable, batch_handler
from fmq.service.settings import HandlerSettings
from fmq_processor.handlers.patience import Patience
from fmq_processor.handlers.sql.database import make_engine
from fmq_processor.handlers.sql.failure import explain, refusal
from fmq_processor.handlers.sql.metrics import SqlMetrics
from fmq_processor.handlers.sql.settings import SqlSettings
from fmq_processor.handlers.sql.table import Row, TableUnfit, Target, read_table
from fmq_processor.handlers.sql.writer import Written, write

_log = logging.getLogger(__name__)


class SqlHandler:
    """Writes messages to a table of the user's database."""

    Settings: ClassVar[type[HandlerSettings]] = SqlSettings
    _store: UUID

    def __init__(self, settings: SqlSettings, registry: CollectorRegistry) -> None:
        self._settings = settings
        self._metrics = SqlMetrics(registry)
        self._engine = make_engine(settings)
        self._patience = Patience(settings.sql_patience_seconds)
        self._target: Target | None = None

    def know_store(self, store: UUID) -> None:
        """Take the identity of the store that the messages come from."""
        self._store = store

    def setup(self) -> None:
        """Check the table. Raises TableUnfit. If the database is down, the first batch does it."""
        try:
            self._read_table()
        except SQLAlchemyError as error:
            _log.warning("The database can't be reached yet: %s", explain(error))

    @batch_handler
    def handle(self, messages: Sequence[Message]) -> Sequence[Exception | None]:
        """Write a batch. Raises Unavailable when the database as a whole fails for too long."""
        return self._patience.call(lambda: self._write(messages))

    def teardown(self) -> None:
        """Close all connections."""
        self._patience.end()
        self._engine.dispose()

    def _write(self, messages: Sequence[Message]) -> Sequence[Exception | None]:
        try:
            target = self._target or self._read_table()
            return self._write_to(target, messages)
        except (SQLAlchemyError, TableUnfit) as error:
            self._target = None  # it may be made or altered meanwhile
            self._metrics.unavailable.inc()
            raise Unavailable(reason=f"the database accepts no rows: {explain(error)}") from error

    def _write_to(self, target: Target, messages: Sequence[Message]) -> Sequence[Exception | None]:
        results: list[Exception | None] = [None] * len(messages)
        rows: list[Row] = []
        positions: list[int] = []
        for position, message in enumerate(messages):
            try:
                rows.append(target.row(message, self._store))
                positions.append(position)
            except Reject as refused:
                results[position] = refused
        if rows:
            began = time.perf_counter()
            written = write(self._engine, target, rows)
            self._metrics.write_seconds.observe(time.perf_counter() - began)
            for index, error in written.refused.items():
                results[positions[index]] = refusal(error)
            self._count(written, len(rows))
        self._metrics.rows.labels("refused").inc(len(messages) - results.count(None))
        return results

    def _count(self, written: Written, rows: int) -> None:
        self._metrics.rows.labels("stored").inc(written.stored)
        self._metrics.rows.labels("duplicate").inc(rows - written.stored - len(written.refused))

    def _read_table(self) -> Target:
        with self._engine.connect() as connection:
            self._target = target = read_table(connection, self._settings)
        return target
