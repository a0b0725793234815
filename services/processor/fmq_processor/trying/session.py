"""A handler that is set up, with a worker whose turns the caller asks for."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry

from fmq.clock import Clock
from fmq.handler import Handler
from fmq.service.http.health import Heartbeat
from fmq.service.metrics import ProcessorMetrics
from fmq.store.roles import Store
from fmq_processor.assembly import make_alone
from fmq_processor.runners.hooks import SetupFailed, set_up, tear_down
from fmq_processor.settings import ProcessorSettings

_IDLE_TURNS = 3
_STOP_SECONDS = 1.0


class TeardownFailed(SetupFailed):
    """The handler's teardown failed or took too long. The log has the reason."""


class Session:
    """Sets a handler up on entry, and tears it down on exit. Raises SetupFailed and TeardownFailed."""

    def __init__(self, handler: Handler, settings: ProcessorSettings, store: Store, *, clock: Clock) -> None:
        self._handler = handler
        self._clock = clock
        self._grace = settings.grace_seconds
        self._worker = make_alone(
            settings,
            handler=handler,
            store=store,
            metrics=ProcessorMetrics(CollectorRegistry()),
            heartbeat=Heartbeat(),
            clock=clock,
        )
        self._runner = self._worker.lanes[0].worker.runner
        self.hangs = False
        """After the exit: whether a call of the handler still runs, which the end of the process must not wait for."""

    def __enter__(self) -> Self:
        self._runner.start()
        is_ready = False
        try:
            is_ready = set_up(self._runner, self._handler.setup, keep_waiting=self._in_time())
        finally:
            if not is_ready:
                self.hangs = not self._runner.stop(_STOP_SECONDS)
        if not is_ready:
            raise SetupFailed(f"the handler's setup did not end within {self._grace:g} s")
        return self

    def turn(self) -> str | None:
        """One turn of the worker. Returns why no call can go on any more, if that is so."""
        self._worker.turn()
        trouble = self._runner.trouble(self._clock.steady())
        return trouble.reason if trouble else None

    def turn_until_idle(self) -> str | None:
        """Turns until nothing is claimed and nothing is due. Returns why that can't be reached, if that is so."""
        idle = 0
        while idle < _IDLE_TURNS:
            why = self.turn()
            if why:
                return why
            idle = 0 if self._worker.holds else idle + 1
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._worker.drain()
        torn_down = tear_down(self._runner, self._handler.teardown, keep_waiting=self._in_time())
        self.hangs = not self._runner.stop(_STOP_SECONDS)
        if error is None and not torn_down:
            raise TeardownFailed

    def _in_time(self) -> Callable[[], bool]:
        end = time.monotonic() + self._grace
        return lambda: time.monotonic() < end
