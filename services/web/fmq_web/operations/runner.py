"""Plans, starts, shows and stops operations: one at a time on each queue."""

import logging
import math
import threading
import time
from collections import deque
from http import HTTPStatus

from fmq.backoff import Backoff
from fmq.clock import Clock
from fmq.store.roles import Store
from fmq.store.selection import Selection
from fmq.store.steps import frozen
from fmq.text import plain
from fmq_web.answers.activity import DryRun, OperationKind, OperationView
from fmq_web.http.problems import Problem, conflict, not_found
from fmq_web.operations.counting import count_selected
from fmq_web.operations.kinds import KINDS
from fmq_web.operations.plans import Plan, Plans
from fmq_web.operations.task import State, Task
from fmq_web.stores import Stores
from fmq_web.views.sentences import called

_log = logging.getLogger(__name__)

SMALL = 100
"""A requeue of at most this many messages starts without a dry run."""
MOST_RUNNING = 8
MOST_KEPT = 100
_COUNT_SECONDS, _SMALL_SECONDS = 30.0, 2.0
_COUNTS_AT_ONCE = 2  # each holds a worker thread that other changes need, too
_JOIN_SECONDS = 10.0
_BACKOFF = Backoff(initial=0.5, maximum=10.0)
_PATIENCE_SECONDS = 120.0


class Runner:
    """Runs operations, each in a thread and with a store of its own. Every method may be called from any thread.

    Methods raise Problem for what the caller did wrong. Those that take a store also raise QueueError.
    """

    def __init__(
        self, stores: Stores, clock: Clock, *, backoff: Backoff = _BACKOFF, patience: float = _PATIENCE_SECONDS
    ) -> None:
        """``patience`` is how long an operation waits for a store that is unavailable, in seconds."""
        self._stores = stores
        self._clock = clock
        self._backoff = backoff
        self._patience = patience
        self._lock = threading.Lock()
        self._plans = Plans(clock)
        self._running: dict[str, tuple[Task, threading.Thread]] = {}
        """By queue. An entry goes away as the last act of its thread: until then nothing else may change the queue."""
        self._ended: deque[Task] = deque(maxlen=MOST_KEPT)
        self._counting = threading.BoundedSemaphore(_COUNTS_AT_ONCE)
        self._closed = False

    def dry_run(self, store: Store, caller_name: str, kind: OperationKind, queue: str, selection: Selection) -> DryRun:
        """Count what an operation would change. Freezes the selection: it never includes messages that come later.

        The state of the selection is that of the kind. Takes at most 30 s, then says that there are more.
        """
        plan = self._plan(store, caller_name, kind, queue, selection, seconds=_COUNT_SECONDS)
        with self._lock:
            token = self._plans.keep(plan)
        return DryRun(
            token=token,
            kind=kind,
            queue=queue,
            selection=str(plan.selection),
            count=plan.count,
            more=plan.more,
        )

    def start(self, token: str, caller_name: str, rate: float | None = None) -> OperationView:
        """Start what a dry run planned, at most ``rate`` messages per second (None: no limit).

        Problem 404: this caller has no such plan (any more). 409: an operation on this queue runs; the token stays
        valid. 422: the rate is not a positive number. 503: too many operations run, or the server stops.
        """
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY, "The rate has to be a positive number of messages per second."
            )
        with self._lock:
            plan = self._plans.find(token, caller_name)
            if plan is None:
                raise _no_plan()
            task = self._begin(plan, rate)
            self._plans.forget(token)
        return task.view()

    def planned(self, token: str, caller_name: str) -> Plan:
        """What a dry run of this caller planned. Problem 404: this caller has no such plan (any more)."""
        with self._lock:
            plan = self._plans.find(token, caller_name)
        if plan is None:
            raise _no_plan()
        return plan

    def start_small(self, store: Store, caller_name: str, queue: str, selection: Selection) -> OperationView:
        """Requeue at most 100 dead letters at once, without a token. Usually it has ended when this returns.

        Problem 409: there are more, or counting them takes long (do a dry run then), or an operation on this queue runs.
        """
        plan = self._plan(store, caller_name, "requeue", queue, selection, seconds=_SMALL_SECONDS, most=SMALL)
        if plan.more or plan.count > SMALL:
            raise conflict(f"More than {SMALL} dead letters are selected. Count them first.")
        with self._lock:
            task = self._begin(plan, None)
        task.ended.wait(_SMALL_SECONDS)
        return task.view()

    def cancel(self, operation_id: str, caller_name: str) -> OperationView:
        """Stop an operation before its next commit. Problem 404: there is none. 409: it has ended."""
        task = self._find(operation_id)
        if task.ended.is_set():
            raise conflict("The operation has ended already.")
        _log.info("%s cancels operation %s on queue %s", plain(caller_name), task.id, called(task.plan.queue))
        task.halt("cancelled")
        return task.view()

    def get(self, operation_id: str) -> OperationView:
        """An operation that runs, or one of the last 100 that ended. Problem 404: there is none."""
        return self._find(operation_id).view()

    def all(self) -> list[OperationView]:
        """What runs, then what has ended, the last one first."""
        with self._lock:
            tasks = [task for task, _thread in self._running.values()] + list(reversed(self._ended))
        return [task.view() for task in tasks]

    def close(self) -> None:
        """Stop all operations before their next commits. Their audit rows say how far they came. Starts nothing more."""
        with self._lock:
            self._closed = True
            running = list(self._running.values())
        for task, _thread in running:
            task.halt("stopped")
        end = time.monotonic() + _JOIN_SECONDS  # the real clock: threads end in real time
        for task, thread in running:
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                _log.warning("Operation %s on queue %s still waits for the store", task.id, called(task.plan.queue))

    def _plan(
        self,
        store: Store,
        actor: str,
        kind: OperationKind,
        queue: str,
        selection: Selection,
        *,
        seconds: float,
        most: int | None = None,
    ) -> Plan:
        if kind not in KINDS:
            raise not_found(f"The operation {kind} does not exist.")
        what = KINDS[kind]
        if selection.state is not what.state:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"The operation {kind} is for {what.state} messages.")
        stats = store.stats(queue)
        chosen = frozen(store, queue, selection, self._clock)
        what.check(store, queue)
        if selection.everything:
            return Plan(kind, queue, chosen, actor, what.counter(stats), more=False)
        if not self._counting.acquire(blocking=False):
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Others count messages at the moment. Try again in a minute.")
        try:
            number, more = count_selected(
                store, queue, chosen, clock=self._clock, seconds=seconds, most=most, stop=lambda: self._closed
            )
        finally:
            self._counting.release()
        return Plan(kind, queue, chosen, actor, number, more=more)

    def _begin(self, plan: Plan, rate: float | None) -> Task:
        """Claim the queue and start the thread. Holds the lock."""
        if plan.queue in self._running:
            raise conflict(f"Another operation on queue {called(plan.queue)} runs. Wait for its end, or cancel it.")
        if self._closed:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "The server stops. Try again when it is back.")
        if len(self._running) >= MOST_RUNNING:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_RUNNING} operations run already. Try again later.")
        task = Task(plan, rate=rate, clock=self._clock, backoff=self._backoff, patience=self._patience)
        thread = threading.Thread(target=self._run, args=(task,), name=f"operation-{task.id}", daemon=True)
        self._running[plan.queue] = (task, thread)
        try:
            thread.start()
        except RuntimeError:  # no more threads
            del self._running[plan.queue]
            raise
        _log.info(
            "%s starts %s on queue %s: %s", plain(plan.actor), plan.kind, called(plan.queue), plain(str(plan.selection))
        )
        return task

    def _run(self, task: Task) -> None:
        state: State = "failed"
        problem = "fmq made an error. Its log has the details."
        try:
            state, problem = task.run(self._stores)
        finally:
            _log.info(
                "Operation %s on queue %s: %s, %d changed", task.id, called(task.plan.queue), state, task.view().changed
            )
            with self._lock:
                del self._running[task.plan.queue]
                self._ended.append(task)
                task.end(state, problem)

    def _find(self, operation_id: str) -> Task:
        with self._lock:
            tasks = [task for task, _thread in self._running.values()] + list(self._ended)
        for task in tasks:
            if task.id == operation_id:
                return task
        raise not_found("This operation does not exist (any more).")


def _no_plan() -> Problem:
    return not_found("This dry run is not yours, has expired, or was started already. Count again.")
