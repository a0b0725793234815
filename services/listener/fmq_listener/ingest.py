"""Batch, commit, PUBACK: in this order, in one thread, for as long as the listener runs."""

import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter

from tenacity import RetryCallState, Retrying, retry_if_exception_type

from fmq.backoff import Backoff
from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.errors import QueueError, StoreRefused
from fmq.health import Heartbeat
from fmq.lifecycle import Shutdown
from fmq.message import Incoming
from fmq.metrics import ListenerMetrics
from fmq.queue import Queue
from fmq.topics import QUARANTINE
from fmq_listener.admission import Admission
from fmq_listener.batch import Batch
from fmq_listener.notices import Notices
from fmq_listener.room import Room
from fmq_listener.session import ConnectionFailed, ConnectionLost, Session
from fmq_listener.settings import ListenerSettings
from fmq_listener.summary import Summary

_log = logging.getLogger(__name__)
_POLL_SECONDS = 1.0
_STABLE_SECONDS = 10.0
_MANY_SHORT = 3
_CLOSE_SECONDS = 5.0
_BEAT_SECONDS = 5.0
_queue_of = itemgetter(0)


class Ingest:
    """Moves messages from a session into the store.

    A batch is whatever arrived while the last commit ran, so batches grow with the load. Nothing is read
    while a commit runs: a slow store slows the broker down, not this process's memory.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        *,
        session: Session,
        admission: Admission,
        queue: Queue,
        metrics: ListenerMetrics,
        heartbeat: Heartbeat,
        shutdown: Shutdown,
        clock: Clock = SYSTEM_CLOCK,
        rng: random.Random | None = None,
        over: Callable[[], bool] = lambda: False,
        on_stored: Callable[[Sequence[Incoming], float], None] | None = None,
    ) -> None:
        """``over`` is asked in every turn whether to end.

        ``on_stored`` is called after each commit with its messages and its duration in seconds.
        """
        self._settings = settings
        self._session = session
        self._queue = queue
        self._metrics = metrics
        self._heartbeat = heartbeat
        self._shutdown = shutdown
        self._clock = clock
        self._rng = rng or random.Random()
        self._broker_backoff = Backoff(initial=1.0, maximum=settings.reconnect_max_seconds)
        self._store_backoff = Backoff(initial=0.25, maximum=min(5.0, settings.reconnect_max_seconds))
        self._over = over
        self._on_stored = on_stored
        self._connections = 0
        self._short_connections = 0
        self._store_failures = 0
        self._admission = admission
        self._summary = Summary(clock)
        self._notices = Notices(clock, most_packet_bytes=settings.max_packet_bytes)
        self._room = Room(queue, reserve=settings.disk_reserve_bytes)
        self.store_problem: str | None = None

    def run(self) -> None:
        """Run until the shutdown is requested, or it is over.

        Raises ConnectionFailed when the attempts to connect are used up, and StoreRefused.
        """
        try:
            while not self._ended():
                try:
                    if self._connect():
                        self._serve()
                except StoreRefused:
                    raise
                except QueueError as error:
                    self._await_store(error)
        finally:
            self._session.close(min(_CLOSE_SECONDS, self._settings.grace_seconds))
            self._summary.tell()
            self._notices.tell()
            if self._connections:
                _log.info("Disconnected from MQTT broker")

    def _serve(self) -> None:
        began = self._clock.steady()
        try:
            while not self._ended():
                batch = self._session.poll(_POLL_SECONDS)
                self._heartbeat.beat()
                if batch:
                    self._take(batch)
                else:
                    self._store_is_well()
                del batch  # or it is held while the next one is read
                self._summary.tell_if_due()
                self._notices.tell_if_due()
        except ConnectionLost as lost:
            stable = self._clock.steady() - began >= _STABLE_SECONDS
            self._short_connections = 0 if stable else self._short_connections + 1
            delay = 0.0 if stable else self._broker_backoff.delay(self._short_connections, self._rng)
            doubtful = not lost.explained and self._short_connections >= _MANY_SHORT
            hint = " (does another client use this client id?)" if doubtful else ""
            _log.warning("Connection to the broker lost: %s%s; next attempt in %.1f s", lost, hint, delay)
            self._pause(delay)

    def _ended(self) -> bool:
        return self._shutdown.requested or self._over()

    def _take(self, batch: Batch) -> None:
        received = Counter(map(_queue_of, batch.messages))
        for name, count in received.items():
            self._metrics.received.labels(name).inc(count)
        messages, terms, receipt, again = admitted = self._admission.admit(batch)
        duplicates = Counter(map(_queue_of, again))
        if messages:
            self._room.require(batch.size)
            if batch.quarantined:
                self._queue.declare(QUARANTINE)
            began = self._clock.steady()
            known = self._queue.put(messages, terms=terms, receipt=receipt)
            seconds = self._clock.steady() - began
            self._metrics.commit_seconds.observe(seconds)
            if self._on_stored:
                self._on_stored(messages, seconds)
            self._metrics.batch_messages.observe(len(messages))
            self._store_is_well()
            self._admission.stored(admitted)
            duplicates.update(messages[position].queue for position in known)
        acknowledged = self._session.acknowledge(batch)
        self._metrics.acknowledged.inc(acknowledged)
        self._metrics.stale_acknowledgements.inc(len(batch.packet_ids) - acknowledged)
        now = self._clock.wall()
        for name, count in received.items():
            self._metrics.stored.labels(name).inc(count - duplicates[name])
            self._metrics.duplicate.labels(name).inc(duplicates[name])
            if count > duplicates[name]:
                self._metrics.last_stored.labels(name).set(now)
        self._summary.count(stored=received.total() - duplicates.total(), duplicates=duplicates.total())
        self._metrics.unroutable.inc(len(batch.unroutable))
        self._metrics.quarantined.inc(len(batch.quarantined))
        self._metrics.oversized.inc(len(batch.oversized))
        self._notices.take(batch)

    def _connect(self) -> bool:
        """Connect, however often it takes. False if the shutdown came first."""
        attempts = self._settings.connect_attempts
        retrying = Retrying(
            retry=retry_if_exception_type(ConnectionFailed),
            stop=lambda state: self._shutdown.requested or 0 < attempts <= state.attempt_number,
            wait=lambda state: self._broker_backoff.delay(state.attempt_number, self._rng),
            sleep=self._pause,
            before_sleep=self._tell_of_failure,
            reraise=True,
        )
        try:
            retrying(self._attempt)
        except ConnectionFailed as error:
            if self._shutdown.requested:
                return False
            raise ConnectionFailed(
                f"{self._settings.broker} was not reached in {attempts} attempts: {error}"
            ) from error
        self._metrics.reconnects.inc(1 if self._connections else 0)
        self._connections += 1
        return True

    def _attempt(self) -> None:
        self._heartbeat.beat()
        if self._shutdown.requested:
            raise ConnectionFailed("the shutdown came first")
        self._session.connect()

    def _tell_of_failure(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        delay = state.next_action.sleep if state.next_action else 0.0
        _log.warning(
            "Attempt %d to connect to %s failed: %s; next attempt in %.1f s",
            state.attempt_number,
            self._settings.broker,
            error,
            delay,
        )

    def _await_store(self, error: QueueError) -> None:
        """Leave the broker, which keeps the messages, until the store can be written again. Raises StoreRefused."""
        self._session.close(_CLOSE_SECONDS)
        if self.store_problem is None:
            _log.error("Intake stopped: %s. The broker keeps the messages.", error)
        self.store_problem = str(error)
        self._metrics.store_failures.inc()
        while True:
            self._store_failures += 1
            self._pause(self._store_backoff.delay(self._store_failures, self._rng))
            if self._shutdown.requested:
                return
            try:
                self._queue.probe()
                self._room.require_again()
                for one in self._settings.filters:
                    self._queue.declare(one.name)
            except StoreRefused:
                raise
            except QueueError as again:
                self.store_problem = str(again)
            else:
                return

    def _store_is_well(self) -> None:
        """A commit has succeeded, or there is nothing to commit.

        Not yet when the probe has: a disk may have room for it and not for what the broker sends next.
        """
        self._store_failures = 0
        if self.store_problem is not None:
            self.store_problem = None
            _log.info("Intake goes on: the store can be written again")

    def _pause(self, seconds: float) -> None:
        end = self._clock.steady() + seconds
        while (left := end - self._clock.steady()) > 0:
            self._heartbeat.beat()
            if self._shutdown.wait(min(left, _BEAT_SECONDS)):
                return
