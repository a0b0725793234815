"""How operations end, and what the audit then says."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import cast

import pytest

from fmq.errors import StoreRefused, StoreUnavailable
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq_web.answers.activity import OperationView
from fmq_web.http.problems import Problem
from fmq_web.operations.runner import MOST_KEPT, Runner
from support.wait import wait_for
from support.web.databases import QUEUE, Web, Wrapped

DEAD = Selection(State.DEAD)
SLOWEST = 0.001
COUNT = 2_500


def begun(web: Web, runner: Runner, rate: float | None = None) -> OperationView:
    """A requeue of COUNT dead letters."""
    web.dead(COUNT)
    web.clock.advance(1)
    return runner.start(runner.dry_run(web.store, "ann", "requeue", QUEUE, DEAD).token, "ann", rate)


def ended(runner: Runner, started: OperationView) -> OperationView:
    wait_for(lambda: runner.get(started.id).state != "running", what="the operation's end")
    return runner.get(started.id)


def assert_consistent(web: Web, view: OperationView) -> None:
    """The view, the audit and the queue say the same."""
    [action] = web.store.actions()
    assert (action.actor, action.kind, action.queue) == (view.actor, view.kind, view.queue)
    assert action.selection == view.selection
    assert action.changed == view.changed == web.store.stats(QUEUE).pending
    assert (action.ended_at is None) == (view.ended_at is None)


def test_cancelled(web: Web, runner: Runner) -> None:
    """Between two commits. It can be cancelled once."""
    started = begun(web, runner, SLOWEST)
    wait_for(lambda: runner.get(started.id).changed)
    runner.cancel(started.id, "bob")
    view = ended(runner, started)
    assert (view.state, view.changed) == ("cancelled", 1)
    assert_consistent(web, view)
    with pytest.raises(Problem, match="ended already"):
        runner.cancel(started.id, "bob")


@pytest.mark.parametrize("rate", [SLOWEST, 5.0, None])
def test_stopped_with_the_server(web: Web, runner: Runner, rate: float | None) -> None:
    """At once, even if the next message is due in a thousand seconds; nothing starts afterwards."""
    started = begun(web, runner, rate)
    token = runner.dry_run(web.store, "ann", "requeue", QUEUE, DEAD).token
    begin = time.monotonic()
    runner.close()
    assert time.monotonic() - begin < 30
    view = runner.get(started.id)
    assert view.state == ("stopped" if view.changed < COUNT else "done")
    if web.store.actions():
        assert_consistent(web, view)
    with pytest.raises(Problem, match="stops"):
        runner.start(token, "ann")


def test_a_killed_process_leaves_how_far_it_came(web: Web) -> None:
    """In the audit: at most one commit behind, and without an end."""
    web.dead(COUNT)
    web.clock.advance(1)
    script = f"""
import time
from fmq.clock import SYSTEM_CLOCK
from fmq.store.backends import open_store
from fmq.store.selection import Selection, State
from fmq_web.operations.runner import Runner
from fmq_web.stores import Stores

class Later:
    wall = staticmethod(lambda: {web.clock.wall()})
    steady = SYSTEM_CLOCK.steady
    boot_id = SYSTEM_CLOCK.boot_id

stores = Stores(lambda: open_store({web.url!r}))
runner = Runner(stores, Later())
with stores.another() as store:
    runner.start(runner.dry_run(store, "ann", "requeue", {QUEUE!r}, Selection(State.DEAD)).token, "ann", 2_000)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        wait_for(lambda: any(one.changed >= 400 for one in web.store.actions()), what="some progress")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    [action] = web.store.actions()
    done = web.store.stats(QUEUE).pending
    assert 0 <= done - action.changed <= 200, "2,000 a second are 200 a commit"
    assert action.ended_at is None


class Failing:
    """The calls of one method that fail before they do anything: those with these numbers, from 1; None: all."""

    def __init__(self, name: str, which: set[int] | None, error: Exception) -> None:
        self.name = name
        self._which = which
        self._error = error
        self.calls = 0

    def wrap(self, store: Store) -> Store:
        def call(inner: Store, *arguments: object, **options: object) -> object:
            self.calls += 1
            if self._which is None or self.calls in self._which:
                raise self._error
            result: object = getattr(inner, self.name)(*arguments, **options)
            return result

        return cast("Store", Wrapped(store, {self.name: call}))


@pytest.mark.parametrize("name", ["begin_action", "find", "requeue_dead", "note_progress", "end_action"])
def test_it_goes_on_after_an_outage(web: Web, runner: Runner, name: str) -> None:
    """Whichever call fails, each message is changed once and counted once."""
    failing = Failing(name, {1, 2, 4, 5}, StoreUnavailable("disk full"))
    web.wrap = failing.wrap
    view = ended(runner, begun(web, runner))
    assert (view.state, view.changed, view.problem) == ("done", COUNT, "")
    assert failing.calls > 2
    assert_consistent(web, view)


def test_a_queue_is_deleted_in_spite_of_outages(web: Web, runner: Runner) -> None:
    """Once: a queue that is gone does no harm if only the audit is still to be written."""
    web.done(5)
    web.clock.advance(1)
    token = runner.dry_run(web.store, "ann", "delete-queue", QUEUE, Selection(State.DONE)).token
    web.wrap = Failing("end_action", {1, 2}, StoreUnavailable("disk full")).wrap
    view = ended(runner, runner.start(token, "ann"))
    assert (view.state, view.changed, web.store.names()) == ("done", 5, [])


@pytest.mark.parametrize("error", [StoreUnavailable("disk full"), StoreRefused("the file was replaced")])
def test_it_fails_if_the_store_stays_away(web: Web, runner: Runner, error: Exception) -> None:
    web.wrap = Failing("requeue_dead", {2, *range(3, 10_000)}, error).wrap
    view = ended(runner, begun(web, runner))
    assert (view.state, view.changed, view.problem) == ("failed", 1_000, str(error))
    assert_consistent(web, view)


def test_it_can_be_cancelled_during_an_outage(web: Web) -> None:
    patient = Runner(web.stores, web.clock)
    failing = Failing("requeue_dead", None, StoreUnavailable("disk full"))
    web.wrap = failing.wrap
    started = begun(web, patient)
    said = wait_for(lambda: patient.get(started.id).problem, what="what it waits for")
    assert (said, failing.calls > 0) == ("Waits for the store: disk full", True)
    patient.cancel(started.id, "ann")
    view = ended(patient, started)
    assert (view.state, view.changed) == ("cancelled", 0)
    assert_consistent(web, view)
    patient.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_of_fmq_frees_the_queue(web: Web, runner: Runner) -> None:
    web.wrap = Failing("requeue_dead", {2}, ValueError("a bug")).wrap
    started = begun(web, runner)
    view = ended(runner, started)
    assert (view.state, view.changed) == ("failed", 1_000)
    assert_consistent(web, view)
    token = runner.dry_run(web.store, "ann", "requeue", QUEUE, DEAD).token
    assert ended(runner, runner.start(token, "ann")).changed == COUNT - 1_000


def test_the_last_ones_are_kept(web: Web, runner: Runner) -> None:
    """The newest first."""
    call: Callable[[], OperationView] = lambda: runner.start_small(web.store, "ann", QUEUE, DEAD)  # noqa: E731
    web.dead(1)
    ids = [ended(runner, call()).id for _ in range(MOST_KEPT + 2)]
    assert [one.id for one in runner.all()] == ids[:1:-1]
    with pytest.raises(Problem):
        runner.get(ids[0])
