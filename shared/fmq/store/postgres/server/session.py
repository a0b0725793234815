"""One connection to the server, made anew when it is needed. Nothing else begins, commits or rolls back."""

import logging
import select
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

from fmq.errors import LoginRefused, StoreUnavailable
from fmq.store.options import Durability, StoreOptions
from fmq.store.postgres.server.requirements import require_suitable
from fmq.store.postgres.server.tally import TALLY
from fmq.store.postgres.server.target import Target
from fmq.store.postgres.server.translating import OutcomeUnknown, told, translated
from fmq.store.postgres.server.unreachable import refuses_login, why_unreachable
from fmq.store.postgres.timekeeping import Moment, StoreTime

Connection = psycopg.Connection[tuple[Any, ...]]
Rows = list[tuple[Any, ...]]
Values = Mapping[str, object]
Step = tuple[bytes, Values]
"""A statement and its parameters."""
Ask = Callable[[bytes, Values | None], Rows]
"""Runs a statement with its parameters and returns its rows; without parameters it may be several statements."""
_T = TypeVar("_T")

_log = logging.getLogger(__name__)
_SLOTS = 16
_ATTEMPTS = 5
_STATEMENTS_KEPT = 2_000
_AGAIN = (errors.DeadlockDetected, errors.SerializationFailure)
_CANCELLED_COMMIT = ("01000", "57P01")
_SYNCHRONOUS = {Durability.FULL: "on", Durability.NORMAL: "off"}
# Each statement finds its rows by an index. The planner would leave the index for a scan of everything when its statistics
# lag behind a queue that has just grown. Timeouts of the server's own settings must not cancel a commit.
_SETTINGS = """
    SET client_encoding = 'UTF8'; SET default_transaction_isolation = 'read committed';
    SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
    SET jit = off; SET plan_cache_mode = force_generic_plan; SET work_mem = '64MB';
    SET statement_timeout = 0; SET idle_session_timeout = 0; SET idle_in_transaction_session_timeout = '60s';
    SET lock_timeout = {busy}; SET synchronous_commit = {synchronous};
"""


class Session:
    """Runs statements. A connection that has ended is replaced at the next call."""

    def __init__(self, target: Target, options: StoreOptions, store_time: StoreTime) -> None:
        self.target = target
        self._settings = _SETTINGS.format(
            busy=max(1, round(options.busy_seconds * 1000)), synchronous=_SYNCHRONOUS[options.durability]
        ).encode()
        self._time = store_time
        self._connection: Connection | None = None
        self._cancelled: str | None = None
        self.connections = 0
        """How many connections this session has made. What is known of the server is known of the last one."""
        self.slot = 0
        """Which of the rows of a queue's counters this session adds to, so that few sessions wait for each other."""
        self.on_connected: Callable[[Ask], object] = _nothing
        """Called with each new connection. It may raise why the store can't be used any more."""
        self.on_missing_table: Callable[[], None] = _nothing
        """Called when a statement met no table. It may raise the reason; otherwise the transaction is run again."""
        self.notified = 0
        """How many notifications of other sessions have arrived."""

    def moment(self) -> Moment:
        """The present, for statements that a caller wants to see at one time."""
        return self._time.moment()

    def rows(self, statement: bytes, values: Values | None = None) -> Rows:
        """All rows of a statement that is a transaction of its own."""
        return self.transaction([(statement, values or {})])[0]

    def transaction(self, steps: Sequence[Step]) -> list[Rows]:
        """Run all statements in one transaction and one round trip. Returns the rows of each."""
        moment = self._time.moment()._asdict()

        def work(connection: Connection) -> list[Rows]:
            if len(steps) == 1:
                statement, values = steps[0]
                return [_fetched(connection.execute(statement, {**moment, **values}, binary=True))]
            # Not connection.transaction(), which would take three round trips; and not the transaction that a pipeline is
            # without BEGIN, since the client can't read an error of its commit.
            with connection.pipeline():
                connection.execute(b"BEGIN")
                cursors = [
                    connection.execute(statement, {**moment, **values}, binary=True) for statement, values in steps
                ]
                connection.execute(b"COMMIT")
            return [_fetched(one) for one in cursors]

        return self.run(work)

    def interactive(self, work: Callable[[Ask], _T]) -> _T:
        """Run ``work`` in one transaction, in which a statement may depend on the rows of another."""
        moment = self._time.moment()._asdict()

        def whole(connection: Connection) -> _T:
            def ask(statement: bytes, values: Values | None) -> Rows:
                if values is None:
                    return _fetched(connection.execute(statement, prepare=False))
                return _fetched(connection.execute(statement, {**moment, **values}, binary=True))

            with connection.transaction():
                return work(ask)

        return self.run(whole)

    def run(self, work: Callable[[Connection], _T]) -> _T:
        """Run ``work``, a whole transaction, on the connection. After a deadlock it is run again.

        Raises what ``translated`` raises; OutcomeUnknown if the connection ended meanwhile.
        """
        with translated(self.target.name):
            connection = self.connection()
            try:
                for _ in range(_ATTEMPTS - 1):
                    try:
                        return self._confirmed(work(connection))
                    except _AGAIN as error:
                        _log.debug("%s: trying again: %s", self.target.name, told(error))
                        TALLY.retried()
                        connection.rollback()
                    except errors.UndefinedTable:
                        connection.rollback()
                        self._ask_why()
                return self._confirmed(work(connection))
            except errors.ReadOnlySqlTransaction:
                self.close()  # the server is a standby now: the next connection finds the primary
                raise
            except BaseException:
                self._leave_clean()
                raise

    def _ask_why(self) -> None:
        """Call ``on_missing_table``, unless it is what has met no table. Raises psycopg.Error then."""
        why, self.on_missing_table = self.on_missing_table, _nothing
        try:
            why()
        finally:
            self.on_missing_table = why

    def _confirmed(self, result: _T) -> _T:
        """``result``, if its commit is where the server promises commits to be. Raises OutcomeUnknown."""
        if self._cancelled is not None:
            text, self._cancelled = self._cancelled, None
            raise OutcomeUnknown(f"{self.target.name}: the commit may be lost with the primary: {text}")
        return result

    def connection(self) -> Connection:
        """The connection, made if there is none. Raises psycopg.Error, StoreUnavailable and StoreRefused.

        A login that the server refuses is LoginRefused at first. Later it is an outage: somebody is changing the password.
        """
        if self._connection is None or self._connection.closed:
            self._connection = None
            try:
                self._connection = self._connect()
            except psycopg.OperationalError as error:  # nothing was sent, so nothing is in doubt
                why = f"{self.target.name}: {why_unreachable(error)}"
                if not self.connections and refuses_login(error):
                    raise LoginRefused(f"{why}. Correct FMQ_QUEUE_URL, the password file, or the server") from error
                raise StoreUnavailable(why) from error
        return self._connection

    def _connect(self) -> Connection:
        # Read-write is what the server says when it is asked; it is asked again by every statement.
        connection: Connection = psycopg.connect(
            "",
            autocommit=True,
            prepare_threshold=0,
            row_factory=tuple_row,
            **self.target.parameters,  # type: ignore[arg-type] # as libpq takes them
        )
        try:
            require_suitable(connection, self.target.name)
            connection.execute(self._settings, prepare=False)
            # One type for every number, so that a statement is prepared once.
            connection.adapters.register_dumper(int, Int8Dumper)
            connection.adapters.register_dumper(int, Int8BinaryDumper)
            connection.prepared_max = _STATEMENTS_KEPT
            connection.add_notice_handler(self._note)
            connection.add_notify_handler(self._hear)
            self.on_connected(lambda statement, values: _fetched(connection.execute(statement, values)))
        except BaseException:
            connection.close()
            raise
        if self.connections:
            TALLY.reconnected()
        self.connections += 1
        self.slot = connection.info.backend_pid % _SLOTS
        self._cancelled = None
        return connection

    def _leave_clean(self) -> None:
        """Give up a connection that can't go on: a transaction must never be found open by the next call."""
        connection = self._connection
        if connection is not None and connection.info.transaction_status is TransactionStatus.INERROR:
            with suppress(psycopg.Error):
                connection.rollback()
        if connection is not None and (
            connection.closed or connection.info.transaction_status is not TransactionStatus.IDLE
        ):
            self.close()

    def _note(self, notice: errors.Diagnostic) -> None:
        # The server reports success and this warning if somebody cancelled the wait for a standby
        # (postgresql.org, "Synchronous Replication": the commit is only local).
        if notice.severity_nonlocalized == "WARNING" and notice.sqlstate in _CANCELLED_COMMIT:
            self._cancelled = notice.message_primary or "it was cancelled"

    def _hear(self, notify: psycopg.Notify) -> None:
        if self._connection is None or notify.pid != self._connection.info.backend_pid:
            self.notified += 1

    def look(self, timeout: float = 0.0) -> bool:
        """Take in notifications, waiting for at most ``timeout`` seconds. Returns False without a connection.

        Without a timeout it takes microseconds, since the server is not asked.
        """
        connection = self._connection
        if connection is None or connection.closed:
            return False
        with translated(self.target.name):
            try:
                if timeout > 0:
                    select.select([connection.fileno()], [], [], timeout)
                connection.pgconn.consume_input()
                while notify := connection.pgconn.notifies():
                    self.notified += notify.be_pid != connection.info.backend_pid
            except BaseException:
                self.close()
                raise
        return True

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _nothing(*_: object) -> None:
    pass


def _fetched(cursor: psycopg.Cursor[tuple[Any, ...]]) -> Rows:
    return cursor.fetchall() if cursor.description else []
