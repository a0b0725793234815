"""What operations change, and that nobody gets in their way."""

import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fmq.errors import QueueInUse
from fmq.message import Incoming
from fmq.outcome import Dead
from fmq.store.records import ServiceReport
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq_web.answers.activity import OperationKind, OperationView
from fmq_web.http.problems import Problem
from fmq_web.operations import counting
from fmq_web.operations import runner as runner_module
from fmq_web.operations.kinds import KINDS
from fmq_web.operations.plans import EXPIRES_SECONDS, MOST_PLANS
from fmq_web.operations.runner import MOST_RUNNING, SMALL, Runner
from support.wait import wait_for
from support.web.databases import QUEUE, Web, Wrapped, web_at

DEAD = Selection(State.DEAD)
SLOWEST = 0.001


def ended(runner: Runner, started: OperationView) -> OperationView:
    """The operation, once it has ended."""
    wait_for(lambda: runner.get(started.id).state != "running", what="the operation's end")
    return runner.get(started.id)


def status(call: Callable[[], object]) -> HTTPStatus:
    with pytest.raises(Problem) as problem:
        call()
    return problem.value.status


def plan(web: Web, runner: Runner, *, name: str = "ann", queue: str = QUEUE, selection: Selection = DEAD) -> str:
    return runner.dry_run(web.store, name, "requeue", queue, selection).token


class TestWhatChanges:
    @given(
        kind=st.sampled_from(sorted(KINDS)),
        before=st.integers(0, 30),
        others=st.integers(0, 10),
        later=st.integers(0, 30),
        by_topic=st.booleans(),
    )
    @settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_exactly_what_the_dry_run_counted(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        kind: OperationKind,
        before: int,
        others: int,
        later: int,
        *,
        by_topic: bool,
    ) -> None:
        """Messages that come into the state afterwards stay as they are, whatever the kind and the filter."""
        with web_at(tmp_path_factory.mktemp("web")) as web:
            runner = Runner(web.stores, web.clock)
            state = KINDS[kind].state
            make = web.dead if state is State.DEAD else web.done
            chosen = make(before) + ([] if by_topic else make(others, topic="sensors/b/temp"))
            if by_topic:
                make(others, topic="sensors/b/temp")
            web.clock.advance(1)
            selection = Selection(state, topic="sensors/a/temp" if by_topic else None)
            counted = runner.dry_run(web.store, "ann", kind, QUEUE, selection)
            assert (counted.count, counted.more) == (len(chosen), False)
            web.clock.advance(1)
            new = make(later)
            last = ended(runner, runner.start(counted.token, "ann"))
            assert (last.state, last.changed, last.problem) == ("done", len(chosen), "")
            [action] = web.store.actions()
            assert (action.actor, action.kind, action.changed) == ("ann", kind, len(chosen))
            assert action.ended_at is not None
            if kind != "delete-queue":  # which says that it deletes those, too
                assert set(new) <= set(web.store.find(QUEUE, Selection(state)).ids)
                assert not set(chosen) & set(web.store.find(QUEUE, Selection(state)).ids)
            else:
                assert web.store.names() == []
            runner.close()

    def test_messages_that_die_while_they_are_requeued_stay_dead(self, web: Web, runner: Runner) -> None:
        """A handler that is still broken does not keep the operation going forever."""
        web.dead(25)
        web.clock.advance(1)

        def requeue(store: Store, name: str, ids: list[int]) -> int:
            web.clock.advance(1)
            changed = store.requeue_dead(name, ids)
            while claims := store.claim(name, 100, lease=60):
                store.settle([(claim, Dead("again")) for claim in claims])
            return changed

        web.wrap = lambda store: cast("Store", Wrapped(store, {"requeue_dead": requeue}))
        last = ended(runner, runner.start(plan(web, runner), "ann", 100))
        assert (last.state, last.changed) == ("done", 25)
        assert web.store.stats(QUEUE).dead == 25

    def test_a_queue_in_use_is_not_deleted(self, web: Web, runner: Runner) -> None:
        """Neither are its handled messages."""
        web.done(3)
        web.store.put([Incoming(QUEUE, "t", b"", 1.0)])
        with pytest.raises(QueueInUse):
            runner.dry_run(web.store, "ann", "delete-queue", QUEUE, Selection(State.DONE))

    def test_a_queue_that_a_listener_fills_meanwhile_is_not_deleted(self, web: Web, runner: Runner) -> None:
        web.done(3)
        web.clock.advance(1)
        token = runner.dry_run(web.store, "ann", "delete-queue", QUEUE, Selection(State.DONE)).token
        web.store.report(ServiceReport("l", "listener", "here", 1, "1", 1.0, {"queues": [QUEUE]}))
        last = ended(runner, runner.start(token, "ann"))
        assert last.state == "failed"
        assert "subscribes to" in last.problem
        assert web.store.names() == [QUEUE]

    def test_a_purge_of_a_queue_spares_what_is_lent(self, web: Web, runner: Runner) -> None:
        web.dead(2)
        web.done(2)
        web.store.put([Incoming(QUEUE, "t", b"", web.clock.wall()) for _ in range(3)])
        [lent] = web.store.claim(QUEUE, 1, lease=600)
        web.clock.advance(1)
        counted = runner.dry_run(web.store, "ann", "purge-queue", QUEUE, Selection(State.ANY))
        assert counted.count == 6
        assert ended(runner, runner.start(counted.token, "ann")).changed == 6
        assert web.store.find(QUEUE, Selection(State.ANY)).ids == [lent.message.id]


class TestDryRun:
    def test_a_long_count_ends(self, web: Web, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
        """And says that there are more; the operation then changes all of them."""
        web.dead(2_050)
        web.clock.advance(1)
        monkeypatch.setattr(runner_module, "_COUNT_SECONDS", 0.0)
        monkeypatch.setattr(counting, "_STEP", 1_000)
        counted = runner.dry_run(web.store, "ann", "requeue", QUEUE, Selection(State.DEAD, topic="#"))
        assert (counted.count, counted.more) == (1_000, True)
        last = ended(runner, runner.start(counted.token, "ann"))
        assert (last.total, last.more, last.changed) == (1_000, True, 2_050)

    def test_a_token_is_for_its_owner_once_and_for_ten_minutes(self, web: Web, runner: Runner) -> None:
        web.dead(1)
        token = plan(web, runner)
        assert status(lambda: runner.start(token, "bob")) == HTTPStatus.NOT_FOUND
        assert ended(runner, runner.start(token, "ann")).state == "done"
        assert status(lambda: runner.start(token, "ann")) == HTTPStatus.NOT_FOUND
        old = plan(web, runner)
        web.clock.advance(EXPIRES_SECONDS)
        assert status(lambda: runner.start(old, "ann")) == HTTPStatus.NOT_FOUND

    def test_plans_are_bounded(self, web: Web, runner: Runner) -> None:
        """The oldest ones go."""
        web.dead(1)
        web.clock.advance(1)
        tokens = [plan(web, runner) for _ in range(MOST_PLANS + 1)]
        assert status(lambda: runner.start(tokens[0], "ann")) == HTTPStatus.NOT_FOUND
        assert ended(runner, runner.start(tokens[1], "ann")).changed == 1

    @pytest.mark.parametrize("state", [State.DONE, State.ANY, State.PENDING])
    def test_a_state_that_does_not_fit_is_refused(self, web: Web, runner: Runner, state: State) -> None:
        web.dead(1)
        assert status(lambda: plan(web, runner, selection=Selection(state))) == HTTPStatus.UNPROCESSABLE_ENTITY

    @pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
    def test_a_rate_is_a_positive_number(self, web: Web, runner: Runner, rate: float) -> None:
        web.dead(1)
        token = plan(web, runner)
        assert status(lambda: runner.start(token, "ann", rate)) == HTTPStatus.UNPROCESSABLE_ENTITY


class TestOneOnAQueue:
    def test_only_one_of_many_that_start_at_once(self, web: Web, runner: Runner) -> None:
        web.dead(50)
        web.clock.advance(1)
        tokens = [plan(web, runner, name=f"user {number}") for number in range(8)]
        gate = threading.Barrier(len(tokens))
        results: list[object] = []

        def start(number: int) -> None:
            gate.wait()
            try:
                results.append(runner.start(tokens[number], f"user {number}", SLOWEST).id)
            except Problem as problem:
                results.append(problem.status)

        threads = [threading.Thread(target=start, args=(number,)) for number in range(len(tokens))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results.count(HTTPStatus.CONFLICT) == len(tokens) - 1
        assert len([one for one in runner.all() if one.state == "running"]) == 1

    def test_until_its_thread_has_really_ended(self, web: Web, runner: Runner) -> None:
        """A cancelled operation may still be in a commit. Its queue is free once it is not. A refused token stays valid."""
        inside, go_on = threading.Event(), threading.Event()

        def requeue(store: Store, name: str, ids: list[int]) -> int:
            inside.set()
            assert go_on.wait(30)
            return store.requeue_dead(name, ids)

        web.dead(5)
        web.clock.advance(1)
        web.wrap = lambda store: cast("Store", Wrapped(store, {"requeue_dead": requeue}))
        first = runner.start(plan(web, runner), "ann", SLOWEST)
        assert inside.wait(30)
        token = plan(web, runner)
        assert status(lambda: runner.start(token, "ann", SLOWEST)) == HTTPStatus.CONFLICT
        assert runner.cancel(first.id, "bob").state == "running"
        assert status(lambda: runner.start(token, "ann", SLOWEST)) == HTTPStatus.CONFLICT
        assert status(lambda: runner.start_small(web.store, "ann", QUEUE, DEAD)) == HTTPStatus.CONFLICT
        go_on.set()
        assert ended(runner, first).state == "cancelled"
        assert runner.start(token, "ann", SLOWEST).state == "running"

    def test_a_slow_one_keeps_its_queue(self, web: Web, runner: Runner) -> None:
        """One a thousand seconds: it pauses after the first message, and still holds the queue."""
        web.dead(5)
        web.clock.advance(1)
        slow = runner.start(plan(web, runner), "ann", SLOWEST)
        wait_for(lambda: runner.get(slow.id).changed)
        for _ in range(50):
            token = plan(web, runner)
            assert status(lambda: runner.start(token, "ann", SLOWEST)) == HTTPStatus.CONFLICT  # noqa: B023

    def test_not_too_many_at_once(self, web: Web, runner: Runner) -> None:
        for number in range(MOST_RUNNING + 1):
            web.dead(2, queue=f"q{number}")
        web.clock.advance(1)
        tokens = [plan(web, runner, queue=f"q{number}") for number in range(MOST_RUNNING + 1)]
        for token in tokens[:-1]:
            runner.start(token, "ann", SLOWEST)
        assert status(lambda: runner.start(tokens[-1], "ann")) == HTTPStatus.SERVICE_UNAVAILABLE


class TestSmall:
    def test_it_has_ended_at_once(self, web: Web, runner: Runner) -> None:
        web.dead(SMALL)
        web.clock.advance(1)
        started = runner.start_small(web.store, "ann", QUEUE, DEAD)
        assert ended(runner, started).changed == SMALL

    @pytest.mark.parametrize("topic", [None, "#"])
    def test_more_need_a_dry_run(self, web: Web, runner: Runner, topic: str | None) -> None:
        web.dead(SMALL + 1)
        web.clock.advance(1)
        which = Selection(State.DEAD, topic=topic)
        assert status(lambda: runner.start_small(web.store, "ann", QUEUE, which)) == HTTPStatus.CONFLICT
        assert (web.store.stats(QUEUE).dead, web.store.actions()) == (SMALL + 1, [])
