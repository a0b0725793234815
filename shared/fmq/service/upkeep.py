"""Runs the store's upkeep in a thread: retention, release of space, and a test whether it can be written."""

import logging
from contextlib import suppress
from typing import Annotated, ClassVar, Self

from prometheus_client import CollectorRegistry
from pydantic import BeforeValidator, Field, WithJsonSchema

from fmq.errors import QueueError, StoreRefused
from fmq.quantities import PATTERNS
from fmq.service.lifecycle import Shutdown
from fmq.service.metrics import UpkeepMetrics
from fmq.service.reporting.presence import Presence
from fmq.service.settings import Headings, Settings, setting
from fmq.service.threads import SupervisedThread
from fmq.store import roles
from fmq.store.options import Retention

_log = logging.getLogger(__name__)
_REST_SECONDS = 0.5  # so that a service notices within a second that its database was replaced
_PROBE_EVERY = 10
_REPORT_EVERY = 20
_BREATH_SECONDS = 0.02


def _seconds_or_forever(value: object) -> object:
    return None if value == "forever" else value


_IN_A_FILE = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": f"{PATTERNS['seconds']}|^forever$"}]
}
KeptSeconds = Annotated[
    Annotated[float, Field(ge=0, allow_inf_nan=False)] | None,
    BeforeValidator(_seconds_or_forever),
    WithJsonSchema(_IN_A_FILE),
]
"""Seconds; ``forever`` is None."""


class RetentionSettings(Settings):
    """Retention settings."""

    table: ClassVar = "store"

    retention_seconds: KeptSeconds = setting(
        86_400.0,
        about="Time to keep handled messages: 0 deletes them at once, forever keeps them. Processors apply it only with FMQ_UPKEEP=true.",
        unit="seconds",
        expected="a time, 0 or more, such as 1d, or forever",
    )
    dead_retention_seconds: KeptSeconds = setting(
        None,
        about="Time to keep dead letters, or forever. Processors apply it only with FMQ_UPKEEP=true.",
        unit="seconds",
        expected="a time, 0 or more, or forever",
    )

    headings: ClassVar[Headings] = {"Retention": ("retention_seconds", "dead_retention_seconds")}

    @property
    def retention(self) -> Retention:
        return Retention(done_seconds=self.retention_seconds, dead_seconds=self.dead_retention_seconds)


class Upkeep:
    """A thread with its own connection. Steps are short, with breaks in which others may write.

    Also records the counters of each minute and reports this service.
    """

    def __init__(
        self,
        store: roles.Upkeep,
        retention: Retention | None,
        shutdown: Shutdown,
        *,
        presence: Presence | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Without ``retention``, it only reports ``presence``. ``registry`` gets the metrics of what retention deletes."""
        self._store = store
        self._retention = retention
        self._shutdown = shutdown
        self._presence = presence
        self._metrics = (
            UpkeepMetrics(registry)
            if registry is not None and retention is not None and retention.dead_seconds is not None
            else None
        )
        self._rounds = 0
        self._thread = SupervisedThread(self._run, name="upkeep", shutdown=shutdown)
        self.problem: str | None = None
        self._refusal: StoreRefused | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Raises StoreRefused if that ended the service."""
        self._shutdown.request()  # otherwise a service that ends for another reason would wait forever
        self._thread.join()
        if self._presence is not None:
            with suppress(QueueError):  # forgotten after a day otherwise
                self._store.withdraw(self._presence.name)
        if self._refusal is not None and kind is None:
            raise self._refusal

    def _run(self) -> None:
        while not self._shutdown.wait(_REST_SECONDS):
            try:
                self._round()
            except StoreRefused as error:
                # Nothing stored from now on would last, so the service must not go on.
                self.problem = str(error)
                self._refusal = error
                _log.error("The store can't be used any more, stopping: %s", error)
                self._shutdown.request()
                return
            except QueueError as error:
                if self.problem is None:
                    _log.warning("Upkeep of the store failed; trying again: %s", error)
                self.problem = str(error)
            else:
                if self.problem is not None:
                    _log.info("Upkeep of the store works again")
                self.problem = None

    def _round(self) -> None:
        if self._presence is not None and self._rounds % _REPORT_EVERY == 0 and (report := self._presence.report()):
            self._store.report(report)
        if self._retention is not None:
            if self._rounds % _PROBE_EVERY == 0 or self.problem is not None:
                self._store.probe()
            self._store.note_minute()
            if self._metrics is not None and self._rounds % _REPORT_EVERY == 0:
                self._metrics.start_at_zero(self._store.names())
            while self._store.maintain(self._retention, on_discarded=self._discarded):
                if self._shutdown.wait(_BREATH_SECONDS):
                    break
        self._rounds += 1

    def _discarded(self, queue: str, count: int) -> None:
        if self._metrics is not None:
            self._metrics.discarded.labels(queue).inc(count)
