"""A route at work: its worker, its runner and its handler, which is replaced when its calls hang."""

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context

from fmq.backoff import Backoff
from fmq.clock import Clock
from fmq.errors import FmqError
from fmq.handler import Handler
from fmq.message import Claim
from fmq.service.log import ROUTE
from fmq_processor.engine.worker import Worker
from fmq_processor.runners.hooks import begin, has_torn_down, require_setup
from fmq_processor.runners.protocol import Runner, Trouble

_log = logging.getLogger(__name__)
_TEARDOWN_SECONDS = 5.0
_LONGEST_BACKOFF = 60.0
_TASK_TICK = 0.02
"""Seconds between two looks at a set-up or a tear-down."""


class Lane:
    """Sets a handler up and lets its worker work. Every method returns after a few milliseconds.

    ``name`` is the route's. With ``again``, which makes a new handler and its runner, a runner in trouble is replaced. Without
    it, the process has to be restarted.
    """

    def __init__(
        self,
        name: str,
        *,
        worker: Worker,
        handler: Handler,
        clock: Clock,
        rng: random.Random,
        grace: float,
        context: Context | None = None,
        again: Callable[[], tuple[Handler, Runner]] | None = None,
        on_replaced: Callable[[], None] = lambda: None,
    ) -> None:
        """``grace`` is how long running calls are waited for before a replacement, in seconds.

        ``on_replaced`` is called for each replacement. Everything runs in ``context``.
        """
        self.name = name
        self.worker = worker
        self._handler = handler
        self._clock = clock
        self._rng = rng
        self._grace = grace
        self._again = again
        self._on_replaced = on_replaced
        self._context = context or copy_context()
        self._retired: list[Runner] = []
        self._task: Iterator[None] | None = None
        self._teardown: Future[None] | None = None
        self._is_draining = False
        self.is_ready = False
        """Whether the handler is set up, so that messages may be claimed for it."""
        self.is_starting = False
        """Whether the first set-up goes on."""
        self.setup_at: float | None = None
        """When the handler is set up again, in steady seconds, if the set-up of a replaced handler has failed."""

    @property
    def abandoned(self) -> int:
        """Threads with calls that hang in runners that were replaced."""
        self._retired = [runner for runner in self._retired if runner.left()]
        return sum(runner.left() for runner in self._retired)

    @property
    def tick(self) -> float:
        """The longest wait until the next step, in seconds."""
        return self.worker.tick if self._task is None else _TASK_TICK  # the worker does not step meanwhile

    def start(self) -> None:
        """Start the runner and the handler's set-up."""
        self.is_starting = True
        self._task = self._context.run(self._starting)

    def step(self) -> None:
        """Do everything once. Raises what the first set-up raised, StoreRefused, and WrongOrder."""
        self._context.run(self._step)

    def take_over(self, claims: Sequence[Claim]) -> int:
        """See Taker."""
        if self._task is not None or not self.is_ready or self._is_draining:
            return 0
        return self._context.run(self.worker.take_over, claims)

    @property
    def suspect_began(self) -> float | None:
        """See Taker."""
        return self.worker.suspect_began

    def make_way(self) -> None:
        """See Taker."""
        self._context.run(self.worker.make_way)

    def look_now(self) -> None:
        """See Taker."""
        self.worker.look_now()

    def begin_drain(self) -> None:
        """Claim nothing more."""
        self._is_draining = True
        if not self.is_starting:
            self._task = None  # a replacement is not waited for
        self._context.run(self.worker.begin_drain)

    def drain_step(self) -> bool:
        """Settle what has ended. Returns whether anything is left, or the first set-up goes on."""
        if self.is_starting:
            self._context.run(self._go_on)
        return self._context.run(self.worker.drain_step) or self.is_starting

    def end_drain(self) -> int:
        """Leave the calls that still run. Returns how many messages could not be settled."""
        return self._context.run(self.worker.end_drain)

    def leave_stuck(self, trouble: Trouble) -> None:
        """Let go of all calls that can't end."""
        self._context.run(self.worker.leave_stuck, trouble)

    def begin_teardown(self) -> None:
        """Start the handler's tear-down, if it was set up."""
        if self.is_ready:
            self._teardown = self._context.run(begin, self.worker.runner, self._handler.teardown)

    @property
    def is_tearing_down(self) -> bool:
        """Whether the tear-down goes on."""
        return self._teardown is not None and not self._teardown.done()

    def has_torn_down(self) -> bool:
        """Whether the tear-down succeeded. True if there was none."""
        return self._teardown is None or self._context.run(has_torn_down, self._teardown)

    def stop(self, seconds: float) -> bool:
        """End the threads. Returns whether they all ended within ``seconds``."""
        return self.worker.runner.stop(seconds) and not self.abandoned

    def _step(self) -> None:
        if self._task is not None:
            self._go_on()
            return
        self.worker.step()
        if self._again is not None and (trouble := self.worker.runner.trouble(self._clock.steady())):
            self._task = self._replacing(trouble, self._again)

    def _go_on(self) -> None:
        if self._task is not None and next(self._task, self) is self:
            self._task = None

    def _starting(self) -> Iterator[None]:
        self.worker.runner.start()
        future = begin(self.worker.runner, self._handler.setup)
        while not future.done():
            yield
        self.is_starting = False
        try:
            require_setup(future)
        except FmqError as error:
            if ROUTE.get():  # which the last words of the process don't name
                _log.error("Route %s can't be set up: %s", self.name, error)
            raise
        self.is_ready = True

    def _replacing(self, trouble: Trouble, again: Callable[[], tuple[Handler, Runner]]) -> Iterator[None]:
        """Leave the runner with its calls that hang, and go on with a new handler and runner."""
        _log.error("Replacing the handler of route %s: %s", self.name, trouble.reason)
        self.is_ready = False
        self._on_replaced()
        if trouble.is_stuck:
            self.worker.leave_stuck(trouble)
        self.worker.begin_drain()
        end = self._clock.steady() + self._grace
        while self.worker.drain_step() and self._clock.steady() < end:
            yield
        self.worker.end_drain()
        yield from self._tearing_down()
        failures, backoff = 0, Backoff(1.0, _LONGEST_BACKOFF)
        while not self.is_ready:
            try:
                self._handler, self.worker.runner = again()
                self.worker.runner.start()
                future = begin(self.worker.runner, self._handler.setup)
                while not future.done():
                    yield
                require_setup(future)
            except FmqError as error:
                failures += 1
                delay = backoff.delay(failures, self._rng)
                _log.error("Route %s is set up again in %.1f s: %s", self.name, delay, error)
                self._retire()
                self.setup_at = self._clock.steady() + delay
                while self._clock.steady() < self.setup_at:
                    yield
            else:
                self.is_ready, self.setup_at = True, None
                _log.info("Route %s has a new handler", self.name)

    def _tearing_down(self) -> Iterator[None]:
        """Tear the old handler down before the new one is set up. A tear-down that hangs is left behind, too."""
        future = begin(self.worker.runner, self._handler.teardown)
        end = self._clock.steady() + _TEARDOWN_SECONDS
        while not future.done() and self._clock.steady() < end:
            yield
        has_torn_down(future)
        self._retire()

    def _retire(self) -> None:
        self.worker.runner.stop(0)
        self._retired.append(self.worker.runner)


def route_context(route: str) -> Context:
    """A context in which log lines name ``route``."""
    context = copy_context()
    context.run(ROUTE.set, route)
    return context
