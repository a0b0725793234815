"""The store's upkeep, beside a service's work: retention, giving space back, and trying whether it can be written."""

import logging
from typing import Annotated, Self

from pydantic import BeforeValidator, Field

from fmq.errors import QueueError, StoreRefused
from fmq.lifecycle import Shutdown
from fmq.queue import Queue, Retention
from fmq.settings import Settings, setting
from fmq.threads import SupervisedThread

_log = logging.getLogger(__name__)
_REST_SECONDS = 0.5  # so that a service notices within a second that its database was replaced
_PROBE_EVERY = 10
_BREATH_SECONDS = 0.02


def _seconds_or_forever(value: object) -> object:
    return None if value == "forever" else value


KeptSeconds = Annotated[Annotated[float, Field(ge=0, allow_inf_nan=False)] | None, BeforeValidator(_seconds_or_forever)]
"""Seconds; ``forever`` is None."""


class RetentionSettings(Settings):
    """How long what is over stays."""

    retention_seconds: KeptSeconds = setting(
        86_400.0,
        about="How long handled messages are kept; 0: not at all; or forever. Processors apply it only with FMQ_UPKEEP=true.",
        right="seconds, 0 or more, such as 86400, or forever",
    )
    dead_retention_seconds: KeptSeconds = setting(
        None,
        about="How long dead letters are kept, or forever. Processors apply it only with FMQ_UPKEEP=true.",
        right="seconds, 0 or more, or forever",
    )

    @property
    def retention(self) -> Retention:
        return Retention(done_seconds=self.retention_seconds, dead_seconds=self.dead_retention_seconds)


class Upkeep:
    """A thread with a connection of its own. Steps are short, with breaks in which others may write."""

    def __init__(self, queue: Queue, retention: Retention, shutdown: Shutdown) -> None:
        self._queue = queue
        self._retention = retention
        self._shutdown = shutdown
        self._rounds = 0
        self._thread = SupervisedThread(self._run, name="upkeep", shutdown=shutdown)
        self.problem: str | None = None
        self._refusal: StoreRefused | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Raises StoreRefused if that is what ended the service."""
        self._shutdown.request()  # or what ended in another way would wait for ever
        self._thread.join()
        if self._refusal is not None and kind is None:
            raise self._refusal

    def _run(self) -> None:
        while not self._shutdown.wait(_REST_SECONDS):
            try:
                self._round()
            except StoreRefused as error:
                # Nothing that is stored from here on would last: the service must not go on.
                self.problem = str(error)
                self._refusal = error
                _log.error("The store can't be used any more, stopping: %s", error)
                self._shutdown.request()
                return
            except QueueError as error:
                if self.problem is None:
                    _log.warning("Upkeep of the store pauses: %s", error)
                self.problem = str(error)
            else:
                if self.problem is not None:
                    _log.info("Upkeep of the store goes on")
                self.problem = None

    def _round(self) -> None:
        if self._rounds % _PROBE_EVERY == 0 or self.problem is not None:
            self._queue.probe()
        self._rounds += 1
        while self._queue.maintain(self._retention) and not self._shutdown.wait(_BREATH_SECONDS):
            pass
