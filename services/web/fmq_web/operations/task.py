"""One operation: changes a frozen selection step by step, and records each step in the audit."""

import logging
import random
import secrets
import threading
from typing import Literal

from fmq.backoff import Backoff
from fmq.clock import Clock
from fmq.errors import QueueError, StoreUnavailable
from fmq.store.roles import Store
from fmq.store.steps import Pace
from fmq_web.answers.activity import OperationView
from fmq_web.operations.kinds import KINDS
from fmq_web.operations.plans import Plan
from fmq_web.stores import Stores

_log = logging.getLogger(__name__)

Early = Literal["cancelled", "stopped"]
State = Literal["running", "done", "cancelled", "stopped", "failed"]


class Task:
    """``run`` belongs to one thread. The other methods are for any thread."""

    def __init__(self, plan: Plan, *, rate: float | None, clock: Clock, backoff: Backoff, patience: float) -> None:
        """``rate`` is in messages per second; ``patience`` is how long to wait for a store that is unavailable, in seconds."""
        self.id = secrets.token_hex(8)
        self.plan = plan
        self.ended = threading.Event()
        """Set once the thread changes nothing any more."""
        self._kind = KINDS[plan.kind]
        self._rate = rate
        self._clock = clock
        self._backoff = backoff
        self._patience = patience
        self._started_at = clock.wall()
        self._halt = threading.Event()
        self._early: Early | None = None
        self._pace = Pace(rate, clock=clock, sleep=self._halt.wait)
        self._number: int | None = None
        self._after_id: int | None = None
        self._complete = False
        self._finished = False
        self._recorded = False
        self._changed = 0
        self._failures = 0
        self._waited = 0.0
        self._end: tuple[State, float | None, str] = ("running", None, "")

    def halt(self, how: Early) -> None:
        """Stop before the next commit. The first call decides how the operation ends."""
        self._early = self._early or how
        self._halt.set()

    def view(self) -> OperationView:
        """The operation as it is now."""
        state, ended_at, problem = self._end
        return OperationView(
            id=self.id,
            kind=self.plan.kind,
            queue=self.plan.queue,
            selection=str(self.plan.selection),
            actor=self.plan.actor,
            state=state,
            total=self.plan.count,
            more=self.plan.more,
            changed=self._changed,
            rate=self._rate,
            started_at=self._started_at,
            ended_at=ended_at,
            problem=problem,
        )

    def end(self, state: State, problem: str) -> None:
        """Record how it ended."""
        self._end = (state, self._clock.wall(), problem)
        self.ended.set()

    def run(self, stores: Stores) -> tuple[State, str]:
        """Do the work. Returns how it ended, and why if it failed. Whatever happens, the audit says how far it came."""
        try:
            self._insist(stores)
        except QueueError as error:
            return self._early or "failed", str(error)
        else:
            return ("done" if self._complete else self._early or "stopped"), ""
        finally:
            if self._number is not None and not self._recorded:
                self._record_end(stores)

    def _insist(self, stores: Stores) -> None:
        """Go on after StoreUnavailable, for a while. Raises the last QueueError."""
        chance = random.Random()
        while True:
            halted = self._halt.is_set()
            try:
                with stores.another() as store:
                    self._go_on(store)
            except StoreUnavailable as error:
                if halted or self._waited >= self._patience:
                    raise
                self._failures += 1
                delay = self._backoff.delay(self._failures, chance)
                self._waited += delay
                self._end = ("running", None, f"Waits for the store: {error}")
                _log.warning("Operation %s waits for the store; next attempt in %.1f s: %s", self.id, delay, error)
                self._halt.wait(delay)
            else:
                return

    def _go_on(self, store: Store) -> None:
        plan = self.plan
        if self._number is None:
            self._number = store.begin_action(
                actor=plan.actor, kind=plan.kind, queue=plan.queue, selection=str(plan.selection)
            )
        while not (self._complete or self._halt.is_set()):
            found = store.find(plan.queue, plan.selection, after_id=self._after_id, limit=self._pace.step)
            count = self._kind.apply(store, plan.queue, found.ids) if found.ids else 0
            self._after_id = found.after_id
            self._changed += count
            self._complete = found.after_id is None
            self._failures, self._waited = 0, 0.0
            self._end = ("running", None, "")
            if count:
                store.note_progress(self._number, changed=self._changed)
            if not self._complete:
                self._pace.after(count)
        if self._complete and not self._finished:
            self._kind.finish(store, plan.queue)
            self._finished = True
        store.end_action(self._number, changed=self._changed)
        self._recorded = True

    def _record_end(self, stores: Stores) -> None:
        """Record the end of an operation that failed, if the store lets it."""
        try:
            with stores.another() as store:
                store.end_action(self._number or 0, changed=self._changed)
        except QueueError as error:
            _log.warning("The end of operation %s could not be recorded: %s", self.id, error)
