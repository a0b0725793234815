"""Notices a commit that takes long, while the loop waits for it."""

from types import TracebackType
from typing import Self

from fmq.clock import Clock
from fmq.service.http.health import Heartbeat

_LONG_SECONDS = 10.0


class CommitWatch:
    """Entered for the duration of each commit. A server may hold one until its synchronous standby is back.

    The heartbeat is excused meanwhile: a restart would wait for the same.
    """

    def __init__(self, clock: Clock, heartbeat: Heartbeat) -> None:
        self._clock = clock
        self._heartbeat = heartbeat
        self._began: float | None = None
        self.seconds = 0.0
        """How long the last commit took."""

    def __enter__(self) -> Self:
        self._began = self._clock.steady()
        self._heartbeat.excuse()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        began, self._began = self._began, None
        if began is not None:
            self.seconds = self._clock.steady() - began
        self._heartbeat.beat()

    @property
    def problem(self) -> str | None:
        """What is wrong if the commit under way takes long. For any thread."""
        began = self._began
        seconds = 0.0 if began is None else self._clock.steady() - began
        if seconds < _LONG_SECONDS:
            return None
        return f"a commit has been under way for {seconds:.0f} s; `fmq doctor` looks for the cause"
