"""The handler ``queue``."""

import logging
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import ClassVar
from uuid import UUID

from prometheus_client import CollectorRegistry

from fmq.errors import QueueError, StoreUnavailable
from fmq.message import Incoming, Message, Terms
from fmq.outcome import Unavailable, batch_handler
from fmq.service.settings import HandlerSettings
from fmq.store.backends import open_store
from fmq.store.keys import MessageKeys
from fmq.store.options import Durability, StoreOptions
from fmq.store.roles import Store
from fmq_processor.handlers.queue.metrics import QueueMetrics
from fmq_processor.handlers.queue.settings import QueueSettings

_log = logging.getLogger(__name__)
_KEPT_QUEUES = 10_000


class QueueHandler:
    """Stores each batch in another store, in one commit that survives a power cut. Then its messages are done.

    One connection for all calling threads, one at a time.
    """

    Settings: ClassVar[type[HandlerSettings]] = QueueSettings
    _keys: MessageKeys

    def __init__(self, settings: QueueSettings, registry: CollectorRegistry) -> None:
        self._url = settings.queue_target_url
        self._target_name = lru_cache(_KEPT_QUEUES)(settings.target_name)
        self._key_seconds = settings.queue_target_duplicate_seconds
        self._options = StoreOptions(
            durability=Durability.FULL, busy_seconds=settings.queue_target_busy_seconds, check_integrity=False
        )
        self._metrics = QueueMetrics(registry)
        self._lock = threading.Lock()
        self._target: Store | None = None
        self._declared: set[str] = set()

    def know_store(self, store: UUID) -> None:
        """Take the identity of the store that the messages come from."""
        self._keys = MessageKeys(store)

    def setup(self) -> None:
        """Open the target store. If it is only unavailable, it is opened later; other errors are raised."""
        try:
            with self._lock:
                self._open()
        except StoreUnavailable as error:
            _log.warning("The target store is unavailable; trying again with the first message: %s", error)

    @batch_handler
    def handle(self, messages: Sequence[Message]) -> None:
        """Store all messages or none. Raises Unavailable."""
        incoming = [
            Incoming(
                self._target_name(one.queue),
                one.topic,
                one.payload,
                one.received_at,
                one.qos,
                one.retain,
                one.properties,
            )
            for one in messages
        ]
        # A batch is sent again if the target's answer was lost, or if the processor died before it could settle.
        terms: Mapping[int, Terms] = {}
        if self._key_seconds:
            key = self._keys.key
            terms = {position: Terms(key(one), self._key_seconds) for position, one in enumerate(messages)}
        try:
            with self._lock:
                self._put(incoming, terms)
        except QueueError as error:
            self._metrics.failures.inc()
            raise Unavailable(reason=f"the target store: {error}") from error
        self._metrics.messages.inc(len(incoming))

    def teardown(self) -> None:
        with self._lock:
            self._close()

    def _put(self, incoming: Sequence[Incoming], terms: Mapping[int, Terms]) -> None:
        target = self._open()
        try:
            for name in {one.queue for one in incoming} - self._declared:
                target.declare(name)
                self._declared.add(name)
            with self._metrics.commit_seconds.time():
                target.put(incoming, terms=terms)
        except StoreUnavailable:
            raise
        except QueueError:  # such as a file that somebody has replaced
            self._close()
            raise

    def _open(self) -> Store:
        if self._target is None:
            self._target = open_store(self._url, self._options)
        return self._target

    def _close(self) -> None:
        target, self._target = self._target, None
        self._declared.clear()
        if target is not None:
            target.close()
