"""Handlers that misbehave: only the message that makes them do so is affected."""

import asyncio
import logging
import math
import threading
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from fmq import Message, Reject, Retry, Unavailable, batch_handler
from fmq.errors import StoreUnavailable
from fmq.outcome import Cause, Dead, RetryLater
from support.wait import wait_for
from support.workbench import Workbench, messages_of

TIMEOUT = 30


class Evil(Exception):
    """Nobody can say what it is."""

    def __str__(self) -> str:
        raise EvilBase

    __repr__ = __str__


class EvilBase(BaseException):
    """Passes ``except Exception``."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


class NoClass:
    """Can't be asked by isinstance."""

    @property
    def __class__(self) -> Any:  # noqa: ANN401
        raise EvilBase

    @__class__.setter
    def __class__(self, _: object) -> None: ...


class NoTruth:
    """Can't be compared."""

    def __bool__(self) -> bool:
        raise EvilBase

    def __eq__(self, other: object) -> bool:
        raise EvilBase

    __hash__ = None  # type: ignore[assignment]


class NoLength(list[object]):
    """Has no length."""

    def __len__(self) -> int:
        raise EvilBase


class Endless(list[object]):
    """Never ends."""

    def __iter__(self) -> Any:  # noqa: ANN401
        return repeat(None)


class Liar(list[object]):
    """Has another length."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Any:  # noqa: ANN401
        return iter([None])


def _raised(error: BaseException) -> Callable[[], object]:
    def act() -> object:
        raise error

    return act


ODD: dict[str, Callable[[], object]] = {
    **{
        f"{number} {type(error).__name__}": _raised(error)
        for number, error in enumerate(
            (
                *(Evil(), EvilBase(), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()),
                *(StopIteration(), StopAsyncIteration(), MemoryError(), ExceptionGroup("g", [ValueError()] * 1000)),
                *(Unavailable(after=after) for after in (10**400, math.nan, math.inf, -math.inf, -1.0, "x", Evil())),  # type: ignore[arg-type]
                *(Retry(after=after) for after in (10**400, 10**5000, math.nan, math.inf, -1.0, "x", Evil())),  # type: ignore[arg-type]
            )
        )
    },
    "reason that raises": _raised(Reject(Evil())),  # type: ignore[arg-type]
    "reason that is large": _raised(ValueError("x" * 10_000_000)),
    "reason with surrogates": _raised(Reject("\udc80\ud800")),
    "reason with control characters": _raised(Reject("\0\x1b[2J\u202e")),
    "class that raises": NoClass,
    "outcome with odd parts": lambda: Dead(Evil(), Evil()),  # type: ignore[arg-type]
    "retry with odd parts": lambda: RetryLater(Evil(), NoClass(), Evil()),  # type: ignore[arg-type]
    "map": lambda: map(str, []),
}


@pytest.mark.parametrize("kind", ["plain", "async", "batch"])
def test_odd_results_are_settled(tmp_path: Path, kind: str) -> None:
    """Whatever a handler returns or raises, the worker lives, that message ends dead, and its neighbours are handled."""

    def plain(message: Message) -> object:
        act = ODD.get(message.topic)
        return act() if act else None

    async def awaited(message: Message) -> object:
        await asyncio.sleep(0)
        return plain(message)

    @batch_handler
    def batch(messages: list[Message]) -> object:
        return [plain(one) for one in messages]

    handle: Callable[..., Any] = {"plain": plain, "async": awaited, "batch": batch}[kind]  # type: ignore[assignment]
    settings: dict[str, Any] = {"batch": 1} if kind == "batch" else {}
    with Workbench(
        tmp_path, handle, max_retries=0, circuit_failures=0, dead_letter_limit=0, handler_timeout=0, **settings
    ) as bench:
        for name in ODD:
            bench.put(b"good", topic="good")
            bench.put(b"odd", topic=name)
        bench.turn_until(lambda: bench.states() == (0, 0, len(ODD), len(ODD)), what="all to be settled")
        assert {letter.message.topic for letter in bench.dead()} == set(ODD)
        assert all(len(letter.reason) <= 4_000 for letter in bench.dead())


@pytest.mark.parametrize(
    "make",
    [
        lambda messages: Endless([None] * len(messages)),
        lambda _: NoLength([None]),
        lambda _: Liar([None]),
        lambda _: {1: None},
        lambda _: {False},
        lambda _: NoClass(),
        lambda m: [NoClass() for _ in m],
        lambda _: map(str, []),
    ],
)
def test_odd_results_of_a_batch_are_settled(tmp_path: Path, make: Callable[[list[Message]], object]) -> None:
    """As failures of the whole batch, with the reason: nobody knows which of it was handled."""

    @batch_handler
    def handle(messages: list[Message]) -> object:
        return make(messages)

    with Workbench(tmp_path, handle, max_retries=0, dead_letter_limit=0, circuit_failures=0) as bench:
        bench.put(b"a", b"b", b"c")
        bench.turn_until(lambda: bench.states() == (0, 0, 0, 3))
        assert bench.metric("fmq_dead_lettered_total", reason=Cause.BAD_RESULT) == 3


def test_objects_without_a_truth_are_done(tmp_path: Path) -> None:
    """What a handler returns is not asked for its truth: only False means a retry."""
    with Workbench(tmp_path, lambda _: NoTruth(), max_retries=0) as bench:
        bench.put(b"a")
        bench.turn_until(lambda: bench.states() == (0, 0, 1, 0))


@pytest.mark.parametrize("where", ["call", "task", "callback"])
def test_a_call_that_blocks_the_event_loop_is_alone_to_blame(tmp_path: Path, where: str) -> None:
    """Its attempt counts; those that shared the loop are given back as if they had never been tried."""
    go_on, blocked = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        go_on.wait()

    async def blocking() -> None:
        block()

    async def handle(message: Message) -> None:
        if message.payload == b"bad":
            await asyncio.sleep(0.05)  # the good ones have begun
            match where:
                case "call":
                    block()
                case "task":
                    await asyncio.create_task(blocking())
                case _:
                    asyncio.get_running_loop().call_soon(block)
        await asyncio.Event().wait()

    with Workbench(
        tmp_path, handle, handler_timeout=TIMEOUT, max_retries=0, batch=10, grace_seconds=0, circuit_failures=0
    ) as bench:
        bench.put(b"good", b"good", b"bad", b"good")
        bench.turn_until(blocked.is_set)
        assert bench.runner.trouble(bench.clock.steady()) is None
        bench.clock.advance(TIMEOUT / 2)
        assert bench.runner.trouble(bench.clock.steady()) is None
        bench.turn()  # all are seen to run
        bench.clock.advance(TIMEOUT)
        bench.turn()  # the time of the good ones does not run
        assert bench.metric("fmq_timeouts_total") == 0
        why = bench.worker.run(bench.shutdown)
        assert why is not None
        assert "has blocked its event loop" in why
        assert bench.states() == (3, 0, 0, 1)
        (letter,) = bench.dead()
        assert (letter.message.payload, "has blocked its event loop" in letter.reason) == (b"bad", True)
        assert [one.message.retry_count for one in bench.borrow(10)] == [0, 0, 0]
        go_on.set()


def test_a_loop_that_is_slow_and_goes_on_is_no_trouble(tmp_path: Path) -> None:
    """Many short turns that fill the time are not one that blocks."""
    turns: list[threading.Event] = [threading.Event() for _ in range(3)]
    begun: list[bytes] = []

    async def handle(message: Message) -> None:
        begun.append(message.payload)
        turns[int(message.payload)].wait()

    with Workbench(tmp_path, handle, handler_timeout=TIMEOUT, batch=3) as bench:
        bench.put(b"0", b"1", b"2")
        for number in range(3):
            bench.turn_until(lambda number=number: len(begun) == number + 1)  # type: ignore[misc]
            assert bench.runner.trouble(bench.clock.steady()) is None
            bench.clock.advance(TIMEOUT * 0.7)
            assert bench.runner.trouble(bench.clock.steady()) is None
            turns[number].set()
        bench.turn_until(lambda: bench.stats().done == 3)


def test_a_handler_that_stops_its_event_loop_stops_nothing(tmp_path: Path) -> None:
    """Nor one that cancels every task it finds, or leaves a task behind that exits."""

    async def leave() -> None:
        raise SystemExit(3)

    async def handle(message: Message) -> None:
        loop = asyncio.get_running_loop()
        match message.payload:
            case b"stop":
                loop.stop()
            case b"exit":
                left.append(loop.create_task(leave()))
        await asyncio.sleep(0.01)

    left: list[asyncio.Task[None]] = []
    with Workbench(tmp_path, handle, handler_timeout=TIMEOUT) as bench:
        bench.put(b"stop", b"exit", *[b"good"] * 10)
        bench.turn_until(lambda: bench.states() == (0, 0, 12, 0))
        assert bench.runner.trouble(bench.clock.steady()) is None


def test_a_programming_error_is_logged_with_its_traceback_and_opens_no_circuit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At WARNING, once a minute per place: the target may be well, and a bad release fails for every message."""

    def handle(message: Message) -> None:
        match int(message.payload) % 4:
            case 0:
                undefined_name  # type: ignore[name-defined]  # noqa: B018, F821
            case 1:
                import no_such_module  # type: ignore[import-not-found]  # noqa: F401, PLC0415
            case 2:
                message.no_such_attribute  # type: ignore[attr-defined]  # noqa: B018
            case _:
                len(5)  # type: ignore[arg-type]

    with Workbench(tmp_path, handle, max_retries=0, circuit_failures=3, dead_letter_limit=0) as bench:
        bench.put(*[str(number).encode() for number in range(40)])
        bench.turn_until(lambda: bench.states() == (0, 0, 0, 40))
        told = messages_of(caplog.records, "programming error")
        assert sorted({one.exc_info[0].__name__ for one in told if one.exc_info and one.exc_info[0]}) == [
            *("AttributeError", "ModuleNotFoundError", "NameError", "TypeError"),
        ]
        assert (len(told), {one.levelno for one in told}) == (4, {logging.WARNING})
        assert bench.metric("fmq_circuit_openings_total") == 0
        bench.clock.advance(61)
        bench.put(b"0")
        bench.turn_until(lambda: bench.stats().dead == 41)
        assert "9 more since" in messages_of(caplog.records, "programming error")[-1].getMessage()


def test_many_dead_letters_make_few_log_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first few of each period, then the summary's count."""
    caplog.set_level(logging.INFO)

    def handle(_: Message) -> None:
        raise Reject("no such sensor")

    with Workbench(tmp_path, handle, dead_letter_limit=0, batch=1000) as bench:
        bench.put(*[b"x"] * 5_000)
        bench.turn_until(lambda: bench.states() == (0, 0, 0, 5_000))
        bench.clock.advance(10)
        bench.turn()
        assert len(caplog.records) < 20
        assert messages_of(caplog.records, "5,000 dead letters")
        bench.put(b"x")
        bench.turn_until(lambda: bench.stats().dead == 5_001)
        assert messages_of(caplog.records, "Message 5001 of dstdb moved to dead letters: no such sensor")


METHODS = ("names", "wait", "claim", "extend", "settle", "pause", "paused", "resume")


@pytest.mark.parametrize("method", [*METHODS, "all"])
def test_a_worker_outlives_a_failing_disk_wherever_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Each call to the store fails for a while, then works again; messages are handled, and nothing was lost."""
    go_on = threading.Event()

    def handle(message: Message) -> None:
        if message.payload == b"wait":
            go_on.wait(20)
        elif message.payload == b"bad":
            raise Reject("bad")

    failed: list[str] = []
    failing = threading.Event()
    failing.set()
    with Workbench(
        tmp_path,
        handle,
        lease_seconds=60,
        handler_timeout=0,
        dead_letter_limit=2,
        dead_letter_resume_seconds=5,
        batch=50,
        concurrency=4,
    ) as bench:
        for name in METHODS if method == "all" else (method,):
            whole = getattr(bench.queue, name)

            def call(*args: Any, name: str = name, whole: Callable[..., Any] = whole, **kwargs: Any) -> Any:  # noqa: ANN401
                if failing.is_set():
                    failed.append(name)
                    raise StoreUnavailable("disk I/O error")
                return whole(*args, **kwargs)

            monkeypatch.setattr(bench.queue, name, call)
        bench.put(b"wait", *[b"bad"] * 5, *[b"good"] * 20)

        def turned() -> bool:
            bench.turn()
            bench.clock.advance(1)
            return len(failed) > 3

        wait_for(turned, what=f"{method} to fail")
        failing.clear()
        go_on.set()

        def settled() -> bool:
            bench.turn()
            bench.clock.advance(1)
            return bench.stats().dead + bench.stats().done == 26

        wait_for(settled, what="all to be settled")
        assert (bench.stats().done, bench.stats().dead) == (21, 5)
