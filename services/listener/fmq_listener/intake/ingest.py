"""Batch, commit, PUBACK: in this order, in one thread, for as long as the listener runs."""

import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter

from fmq.backoff import Backoff
from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.errors import QueueError, StoreRefused, UnknownQueue
from fmq.message import Incoming
from fmq.service.http.health import Heartbeat
from fmq.service.lifecycle import Shutdown
from fmq.service.metrics import ListenerMetrics
from fmq.service.reporting.commit_watch import CommitWatch
from fmq.service.retrying import retrying
from fmq.store.roles import Store
from fmq.topics import QUARANTINE
from fmq_listener.intake.admission import Admission, Admitted
from fmq_listener.intake.disk_reserve import Room
from fmq_listener.intake.notices import Notices
from fmq_listener.intake.summary import Summary
from fmq_listener.mqtt.packets.batch import Batch
from fmq_listener.mqtt.session import ConnectionFailed, ConnectionLost, Session
from fmq_listener.settings import ListenerSettings

_log = logging.getLogger(__name__)
_POLL_SECONDS = 1.0
_STABLE_SECONDS = 10.0
_MANY_SHORT = 3
_CLOSE_SECONDS = 5.0
_BEAT_SECONDS = 5.0
_queue_of = itemgetter(0)

OnStored = Callable[[Sequence[Incoming], float], None]
"""Receives the messages of a commit and its duration in seconds."""


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
        store: Store,
        metrics: ListenerMetrics,
        heartbeat: Heartbeat,
        shutdown: Shutdown,
        clock: Clock = SYSTEM_CLOCK,
        rng: random.Random | None = None,
        over: Callable[[], bool] = lambda: False,
        on_stored: OnStored | None = None,
    ) -> None:
        """``over`` is asked in every turn whether to end.

        ``on_stored`` is called after each commit with its messages and its duration in seconds.
        """
        self._settings = settings
        self._session = session
        self._store = store
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
        self._room = Room(store, reserve=settings.disk_reserve_bytes)
        self._commit = CommitWatch(clock, heartbeat)
        self._problem: str | None = None

    @property
    def store_problem(self) -> str | None:
        """What is wrong with the store; None while it is well. For any thread."""
        return self._problem or self._commit.problem

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
            hint = " (does another client use this client id? FMQ_CLIENT_ID sets another one)" if doubtful else ""
            _log.warning("Connection to the broker lost: %s%s; next attempt in %.1f s", lost, hint, delay)
            self._pause(delay)

    def _ended(self) -> bool:
        return self._shutdown.requested or self._over()

    def _take(self, batch: Batch) -> None:
        received = Counter(map(_queue_of, batch.messages))
        self._metrics.received.inc(received.total())
        messages, _, _, again = admitted = self._admission.admit(batch)
        duplicates = Counter(map(_queue_of, again))
        if messages:
            self._room.require(batch.size)
            if batch.quarantined:
                self._store.declare(QUARANTINE)
            with self._commit:
                known = self._put(admitted)
            self._metrics.commit_seconds.observe(self._commit.seconds)
            if self._on_stored:
                self._on_stored(messages, self._commit.seconds)
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
            if count > duplicates[name]:
                self._metrics.last_stored.labels(name).set(now)
        self._metrics.duplicate.inc(duplicates.total())
        self._summary.count(stored=received.total() - duplicates.total(), duplicates=duplicates.total())
        self._metrics.unroutable.inc(len(batch.unroutable))
        self._metrics.quarantined.inc(len(batch.quarantined))
        self._metrics.oversized.inc(len(batch.oversized))
        self._notices.take(batch)

    def _put(self, admitted: Admitted) -> Sequence[int]:
        """Store the messages. Creates a queue that an operator has deleted meanwhile. Returns the positions of duplicates."""
        messages, terms, receipt, _ = admitted
        try:
            return self._store.put(messages, terms=terms, receipt=receipt)
        except UnknownQueue as error:
            _log.warning("Creating the queue again: %s", error)
            for name in set(map(_queue_of, messages)):
                self._store.declare(name)
            return self._store.put(messages, terms=terms, receipt=receipt)

    def _connect(self) -> bool:
        """Connect, however often it takes. False if the shutdown came first."""
        attempts = self._settings.connect_attempts
        connecting = retrying(
            ConnectionFailed,
            backoff=self._broker_backoff,
            rng=self._rng,
            stop=lambda state: self._shutdown.requested or 0 < attempts <= state.attempt_number,
            sleep=self._pause,
            log=self._log_failure,
        )
        try:
            connecting(self._attempt)
        except ConnectionFailed as error:
            if self._shutdown.requested:
                return False
            raise ConnectionFailed(
                f"No connection to {self._settings.broker} (FMQ_CONNECT_ATTEMPTS={attempts}): {error}. Check the broker and the "
                "FMQ_BROKER_… settings: `fmq doctor` tries the connection"
            ) from error
        self._metrics.reconnects.inc(1 if self._connections else 0)
        self._connections += 1
        return True

    def _attempt(self) -> None:
        self._heartbeat.beat()
        if self._shutdown.requested:
            raise ConnectionFailed("the shutdown came first")
        self._session.connect()

    def _log_failure(self, attempt: int, error: BaseException, delay: float) -> None:
        text = "Attempt %d to connect to %s failed: %s; next attempt in %.1f s"
        _log.warning(text, attempt, self._settings.broker, error, delay)

    def _await_store(self, error: QueueError) -> None:
        """Leave the broker, which keeps the messages, until the store can be written again. Raises StoreRefused."""
        self._session.close(_CLOSE_SECONDS)
        if self._problem is None:
            _log.error("Intake stopped: %s. The broker keeps the messages.", error)
        self._problem = str(error)
        self._metrics.store_failures.inc()
        while True:
            self._store_failures += 1
            self._pause(self._store_backoff.delay(self._store_failures, self._rng))
            if self._shutdown.requested:
                return
            try:
                self._store.probe()
                self._room.require_again()
                for one in self._settings.filters:
                    self._store.declare(one.name)
            except StoreRefused:
                raise
            except QueueError as again:
                self._problem = str(again)
            else:
                return

    def _store_is_well(self) -> None:
        """A commit has succeeded, or nothing has to be committed.

        Not yet when the probe has: a disk may have room for it and not for what the broker sends next.
        """
        self._store_failures = 0
        if self._problem is not None:
            self._problem = None
            _log.info("Intake resumed: the store can be written again")

    def _pause(self, seconds: float) -> None:
        end = self._clock.steady() + seconds
        while (left := end - self._clock.steady()) > 0:
            self._heartbeat.beat()
            if self._shutdown.wait(min(left, _BEAT_SECONDS)):
                return
