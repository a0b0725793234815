"""What becomes of a message, by what its handler made of it: on a real queue, with a clock moved by hand."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fmq import Message, Reject, Retry, batch_handler
from support.workbench import Workbench, messages_of


def _fail(error: BaseException) -> Callable[[Message], None]:
    def handle(_: Message) -> None:
        raise error

    return handle


def test_a_handled_message_is_done(tmp_path: Path) -> None:
    """All of several batches, each handed over once, as the publisher wrote it."""
    seen: list[bytes] = []
    with Workbench(tmp_path, lambda message: seen.append(message.payload), batch=10) as bench:
        bench.put(*(b"%d" % number for number in range(25)))
        bench.turn_until(lambda: bench.states() == (0, 0, 25, 0))
        assert seen == [b"%d" % number for number in range(25)]
        assert bench.metric("fmq_processed_total", outcome="done") == 25
        assert bench.metric("fmq_in_progress") == 0
        assert bench.metric("fmq_handle_seconds_count") == bench.metric("fmq_wait_seconds_count") == 25


@pytest.mark.parametrize(
    "payload", [b"", b"\x00\xff\xfe", "ä".encode(), b"x" * (10 << 20)], ids=["empty", "binary", "text", "10 MiB"]
)
def test_every_payload_reaches_the_handler_unchanged(tmp_path: Path, payload: bytes) -> None:
    """Also with a topic of odd characters."""
    seen: list[tuple[str, bytes]] = []
    topic = "an odd/'topic\"/ü " + "x" * 65_000
    with Workbench(tmp_path, lambda message: seen.append((message.topic, message.payload))) as bench:
        bench.put(payload, topic=topic)
        bench.turn_until(lambda: bench.stats().done)
    assert seen == [(topic, payload)]


def test_the_time_from_receipt_to_done_is_measured(tmp_path: Path) -> None:
    """With the waits for retries; a failed attempt is not the end."""
    with Workbench(
        tmp_path, lambda message: bool(message.retry_count), backoff_initial=10, backoff_maximum=10
    ) as bench:
        bench.put(b"x")
        bench.clock.advance(30)
        bench.turn_until(bench.reached("fmq_retries_total", 1))
        assert bench.metric("fmq_time_in_system_seconds_count") == bench.metric("fmq_last_done_timestamp_seconds") == 0
        bench.clock.advance(10)
        bench.turn_until(lambda: bench.stats().done)
        assert bench.metric("fmq_time_in_system_seconds_count") == 1
        assert bench.metric("fmq_time_in_system_seconds_sum") == 40
        assert bench.metric("fmq_last_done_timestamp_seconds") == bench.clock.wall()


def test_a_failed_message_comes_again_when_its_backoff_has_passed(tmp_path: Path) -> None:
    """The delay is kept in the store, and does not hold up other messages."""
    seen: list[tuple[bytes, int]] = []

    def handle(message: Message) -> bool:
        seen.append((message.payload, message.retry_count))
        return message.payload != b"bad" or message.retry_count == 1

    with Workbench(tmp_path, handle, backoff_initial=10, backoff_maximum=10) as bench:
        bench.put(b"bad", b"good")
        bench.turn_until(lambda: bench.states() == (1, 0, 1, 0))
        bench.clock.advance(4.9)  # jitter takes up to half
        bench.turn()
        assert seen == [(b"bad", 0), (b"good", 0)]
        bench.clock.advance(5.2)
        bench.turn_until(lambda: bench.states() == (0, 0, 2, 0))
        assert seen[2:] == [(b"bad", 1)]
        assert bench.metric("fmq_retries_total") == bench.metric("fmq_processed_total", outcome="retry") == 1
        assert bench.metric("fmq_retries_total", reason="returned_false") == 1
        assert bench.metric("fmq_wait_seconds_count") == 2


def test_after_its_last_attempt_a_message_is_dead_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The error and where it was raised are kept; the log names the message once, at WARNING."""
    attempts: list[int] = []

    def handle(message: Message) -> None:
        attempts.append(message.retry_count)
        raise ValueError("no such sensor")

    with Workbench(tmp_path, handle, max_retries=2, backoff_initial=1, backoff_maximum=1) as bench:
        bench.put(b"x", topic="t" * 5_000)
        for failed in (1, 2):
            bench.turn_until(bench.reached("fmq_retries_total", failed))
            bench.clock.advance(1.5)
        bench.turn_until(lambda: bench.states() == (0, 0, 0, 1))
        (letter,) = bench.dead()
    assert attempts == [0, 1, 2]
    assert letter.reason.startswith("gave up after 3 attempts: ValueError: no such sensor\n  at handle (")
    (warning,) = messages_of(caplog.records, "moved to dead letters")
    assert warning.levelno == logging.WARNING
    assert (warning.__dict__["queue"], warning.__dict__["message_id"]) == ("dstdb", 1)
    assert len(warning.__dict__["topic"]) < 300
    assert "\n" not in warning.getMessage()


def test_reject_buries_at_once(tmp_path: Path) -> None:
    """With the handler's reason, and no further attempt."""
    with Workbench(tmp_path, _fail(Reject("not ours"))) as bench:
        bench.put(b"x")
        bench.turn_until(lambda: bench.stats().dead)
        assert bench.dead()[0].reason == "not ours"
        assert (
            bench.metric("fmq_dead_lettered_total", reason="rejected") == bench.metric("fmq_dead_lettered_total") == 1
        )


def test_retry_comes_when_the_handler_says(tmp_path: Path) -> None:
    """Neither sooner nor by the backoff."""
    calls: list[int] = []

    def handle(message: Message) -> None:
        calls.append(message.retry_count)
        if not message.retry_count:
            raise Retry(after=100)

    with Workbench(tmp_path, handle, backoff_initial=1) as bench:
        bench.put(b"x")
        bench.turn_until(lambda: bench.metric("fmq_retries_total") == 1)
        bench.clock.advance(99)
        bench.turn()
        assert calls == [0]
        bench.clock.advance(1.1)
        bench.turn_until(lambda: bench.stats().done)


def test_a_retry_that_is_due_sooner_than_the_sleep_is_not_kept_waiting(tmp_path: Path) -> None:
    """An idle worker with a long sleep knows when its own retries are due."""

    def handle(message: Message) -> None:
        if not message.retry_count:
            raise Retry(after=2)

    with Workbench(tmp_path, handle, sleep=600) as bench:
        bench.put(b"x")
        bench.turn_until(lambda: bench.metric("fmq_retries_total") == 1)
        bench.clock.advance(2.1)
        bench.turn_until(lambda: bench.stats().done)


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt(), GeneratorExit(), RuntimeError("lone \ud800")])
def test_whatever_a_handler_raises_the_service_goes_on(tmp_path: Path, error: BaseException) -> None:
    """Also what would end a thread or the process."""

    def handle(message: Message) -> None:
        if message.payload == b"bad":
            raise error

    with Workbench(tmp_path, handle, max_retries=0) as bench:
        bench.put(b"bad", b"good")
        bench.turn_until(lambda: bench.states() == (0, 0, 1, 1))
        assert type(error).__name__ in bench.dead()[0].reason


async def _coroutine(_: Message) -> None:
    pass


def _called_without_await(message: Message) -> object:
    return _coroutine(message)


@pytest.mark.parametrize(
    ("result", "states"), [(0, (0, 0, 1, 0)), ("nonsense", (0, 0, 1, 0)), (object(), (0, 0, 1, 0))]
)
def test_nonsense_is_done(tmp_path: Path, result: object, states: tuple[int, ...]) -> None:
    """The contract: anything but a failure is done."""
    with Workbench(tmp_path, lambda _: result) as bench:
        bench.put(b"x")
        bench.turn_until(lambda: bench.states() == states)


def test_a_missing_await_is_a_failure_that_says_so(tmp_path: Path) -> None:
    """Nothing of the coroutine ran: done would lose the message."""
    with Workbench(tmp_path, _called_without_await, max_retries=0) as bench:
        bench.put(b"x")
        bench.turn_until(bench.reached("fmq_dead_lettered_total", 1))
        assert bench.metric("fmq_dead_lettered_total", reason="bad_result") == 1
        assert "an await is missing" in bench.dead()[0].reason


def test_a_delay_that_is_none_is_a_failure(tmp_path: Path) -> None:
    """Retry(after=nan) must neither end the service nor lose the message."""
    with Workbench(tmp_path, _fail(Retry(after=float("nan"))), backoff_initial=5) as bench:
        bench.put(b"x")
        bench.turn_until(lambda: bench.metric("fmq_retries_total") == 1)
        assert bench.states() == (1, 0, 0, 0)


def test_a_batch_handler_gets_the_claimed_batch_in_one_call(tmp_path: Path) -> None:
    """And None settles all of it."""
    calls: list[list[int]] = []

    @batch_handler
    def handle(messages: Sequence[Message]) -> None:
        calls.append([message.id for message in messages])

    with Workbench(tmp_path, handle, batch=4) as bench:
        bench.put(*[b"x"] * 6)
        bench.turn_until(lambda: bench.states() == (0, 0, 6, 0))
    assert calls == [[1, 2, 3, 4], [5, 6]]


def test_a_batch_handler_may_judge_each_message(tmp_path: Path) -> None:
    """By a sequence; exceptions in it count as if they were raised."""

    @batch_handler
    def handle(messages: Sequence[Message]) -> list[object]:
        return [{b"good": True, b"bad": False, b"worse": Reject("no")}[message.payload] for message in messages]

    with Workbench(tmp_path, handle) as bench:
        bench.put(b"good", b"bad", b"worse", b"good")
        bench.turn_until(lambda: bench.states() == (1, 0, 2, 1))
        assert bench.dead()[0].message.payload == b"worse"


@pytest.mark.parametrize("answer", [False, [True], ValueError("x")])
def test_a_batch_that_fails_is_retried_as_a_whole(tmp_path: Path, answer: object) -> None:
    """False, a sequence of the wrong length, an exception."""

    @batch_handler
    def handle(_: Sequence[Message]) -> object:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    with Workbench(tmp_path, handle) as bench:
        bench.put(b"a", b"b", b"c")
        bench.turn_until(lambda: bench.metric("fmq_retries_total") == 3)
        assert bench.states() == (3, 0, 0, 0)


def test_an_async_batch_handler_is_both(tmp_path: Path) -> None:
    """One awaited call a batch."""
    sizes: list[int] = []

    @batch_handler
    async def handle(messages: Sequence[Message]) -> None:
        sizes.append(len(messages))

    with Workbench(tmp_path, handle) as bench:
        bench.put(*[b"x"] * 5)
        bench.turn_until(lambda: bench.states() == (0, 0, 5, 0))
    assert sizes == [5]


def test_a_summary_instead_of_a_line_a_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every ten seconds, and only if there was something to tell."""
    caplog.set_level(logging.INFO)
    with Workbench(tmp_path, lambda message: message.payload != b"bad") as bench:
        bench.put(*[b"x"] * 100, b"bad")
        bench.turn_until(lambda: bench.stats().done == 100)
        bench.turn_until(lambda: bench.metric("fmq_retries_total") == 1)
        assert not messages_of(caplog.records, "Processed")
        bench.clock.advance(10.0)
        bench.turn_until(lambda: messages_of(caplog.records, "Processed"))
        (line,) = messages_of(caplog.records, "Processed")
        assert line.getMessage().startswith("Processed 100 messages, 1 failed attempt, 0 dead letters (10.0/s)")
        assert line.levelno == logging.INFO
