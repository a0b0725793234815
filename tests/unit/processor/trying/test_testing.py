"""``fmq.testing``: what users test their handlers with."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

import fmq
from fmq.errors import FmqError, HandlerError, SettingsError
from fmq.handler import HandlerSettings, setting
from fmq.message import Properties
from fmq.outcome import Cause
from fmq.testing import Bench, States, message, run, run_batch


@dataclass
class Reading:
    """A payload."""

    temperature: float


def store_reading(reading: Reading, message: fmq.Message) -> bool | None:
    logging.getLogger("mine").info("%s: %s", message.topic, reading.temperature)
    if reading.temperature > 100:
        raise fmq.Retry(after=60, reason="too hot")
    return reading.temperature > 0 or None


@pytest.mark.parametrize(
    ("payload", "outcome"),
    [
        ({"temperature": 1}, fmq.Done()),
        (Reading(1), fmq.Done()),
        ({"temperature": "x"}, fmq.Dead("body.temperature: not a number", Cause.UNREADABLE)),
        ("{", fmq.Dead("not decoded as json: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)", Cause.UNREADABLE)),
        (b'{"temperature": 101}', fmq.RetryLater(60.0, "too hot", Cause.ASKED)),
    ],
)  # fmt: skip
def test_a_run_has_the_outcome_of_a_processor(payload: object, outcome: fmq.Outcome) -> None:
    """Payloads are bytes, text or values; what does not fit is dead."""
    assert run(store_reading, message(payload)).outcome == outcome


def test_a_run_has_the_logs_and_the_time(caplog: pytest.LogCaptureFixture) -> None:
    """Of the handler alone, and the level of the root logger is as before."""
    caplog.set_level(logging.WARNING)
    result = run(store_reading, message({"temperature": 1}, topic="plant/7"))
    assert [one.getMessage() for one in result.logs] == ["plant/7: 1.0"]
    assert result.is_handled
    assert 0 < result.seconds < 10
    assert logging.getLogger().level == logging.WARNING


def test_the_message_is_what_was_asked_for() -> None:
    """With ids of their own, and defaults that are enough for most tests."""

    @fmq.batch_handler
    async def handle(messages: list[fmq.Message]) -> None:
        seen.extend(messages)

    seen: list[fmq.Message] = []
    first = message("x", topic="a/b", queue="a/+", qos=2, retain=True, content_type="text/plain", user={"site": "7"})
    second = message(retry_count=2, properties=Properties(response_topic="r"), received_at=5.0)
    results = run_batch(handle, [first, second], decode="auto")
    assert [one.outcome for one in results] == [fmq.Done()] * 2
    assert [(one.queue, one.body) for one in seen] == [("a/+", "x"), ("test", b"")]
    assert seen[0].properties == Properties(content_type="text/plain", user_properties=(("site", "7"),))
    assert seen[1].id != seen[0].id
    assert (second.retry_count, second.received_at, second.properties.response_topic) == (2, 5.0, "r")
    assert first.unique_id != second.unique_id


def test_what_is_not_a_message_is_refused() -> None:
    """In words, since it is easily forgotten to make one."""
    with pytest.raises(TypeError, match=r"expected messages as fmq.testing.message\(\) makes them, not dict"):
        run(store_reading, {"temperature": 1})  # type: ignore[arg-type]  # as somebody may write it
    with pytest.raises(TypeError, match="not int"):
        run_batch(store_reading, message({"temperature": 1}))  # type: ignore[arg-type]  # as above


def test_the_last_attempt_ends_dead() -> None:
    """After as many retries as the settings allow."""
    result = run(lambda _: False, message(retry_count=1), max_retries=1)
    assert result.outcome == fmq.Dead("gave up after 2 attempts: the handler returned False", Cause.RETURNED_FALSE)


def test_a_filtered_message_is_done_without_the_handler() -> None:
    """And the result says so."""
    result = run(store_reading, message({"temperature": 1}), decode="json", filter="body.temperature > `5`")
    assert result.outcome == fmq.Done()
    assert not result.is_handled
    assert result.seconds == 0


def test_a_handler_that_hangs_times_out() -> None:
    """Within the timeout, without waiting for the call."""
    end = threading.Event()
    try:
        result = run(lambda _: end.wait(60) and None, message(), handler_timeout=0.05)
    finally:
        end.set()
    assert isinstance(result.outcome, fmq.RetryLater)
    assert result.outcome.cause is Cause.TIMEOUT


def test_a_message_that_is_postponed_is_run_all_the_same() -> None:
    """As when the decoded values of a batch do not fit into memory at once."""
    sizes: list[int] = []

    @fmq.batch_handler
    def handle(readings: list[Reading]) -> None:
        sizes.append(len(readings))

    results = run_batch(handle, [message({"temperature": 1}), message({"temperature": 2})], batch_bytes=1)
    assert [one.outcome for one in results] == [fmq.Done()] * 2
    assert sizes == [1, 1]


def test_an_unavailable_target_is_a_retry() -> None:
    """One run says nothing of other messages, so no circuit breaker has its say."""

    async def handle(_: fmq.Message) -> None:
        raise fmq.Unavailable(after=30)

    assert run(handle, message()).outcome == fmq.RetryLater(30.0, "the target is unavailable", Cause.UNAVAILABLE)


class ShopSettings(HandlerSettings):
    """Settings of a handler."""

    shop_url: str = setting(..., about="Where orders go.", expected="a URL")


class Shop:
    """A handler with settings, set-up and tear-down."""

    Settings: ClassVar = ShopSettings
    log: ClassVar[list[str]] = []

    def __init__(self, settings: ShopSettings, _: object) -> None:
        self.url = settings.shop_url

    def setup(self) -> Iterator[None]:
        self.log.append("opened")
        yield
        self.log.append("closed")

    def handle(self, message: fmq.Message) -> None:
        self.log.append(f"{self.url} {message.text}")


def test_a_class_gets_its_settings_and_its_hooks_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the call alone: neither the environment nor a file has an effect on a test."""
    monkeypatch.chdir(tmp_path)
    Path("fmq.toml").write_text("[processor]\nnonsense = 1\n")
    monkeypatch.setenv("FMQ_SHOP_URL", "https://elsewhere.example")
    monkeypatch.setenv("FMQ_DECODE", "msgpack")
    Shop.log.clear()
    run(Shop, message("x"), shop_url="https://shop.example")
    assert Shop.log == ["opened", "https://shop.example x", "closed"]
    with pytest.raises(SettingsError, match="FMQ_SHOP_URL is not set"):
        run(Shop, message("x"))


def test_mistakes_in_the_call_are_errors() -> None:
    """As a processor reports them at its start."""
    with pytest.raises(SettingsError, match="--decode='jsn'"):
        run(store_reading, message(), decode="jsn")
    with pytest.raises(SettingsError, match="--bach=1: not a setting of the processor or of this handler"):
        run(store_reading, message(), bach=1)
    with pytest.raises(HandlerError, match="no_such_module"):
        run("no_such_module:handle", message())


class BadSetup:
    """Its set-up fails."""

    def setup(self) -> None:
        raise OSError("no database")

    def handle(self, message: fmq.Message) -> None: ...


class BadTeardown:
    """Its tear-down fails."""

    def handle(self, message: fmq.Message) -> None: ...

    def teardown(self) -> None:
        raise OSError("no database")


def test_hooks_that_fail_fail_the_test() -> None:
    """Neither the set-up nor the tear-down passes in silence."""
    with pytest.raises(FmqError, match="the handler's setup failed: OSError: no database"):
        run(BadSetup, message())
    with pytest.raises(FmqError, match="teardown failed"):
        run(BadTeardown(), message())


def test_a_built_in_can_be_run() -> None:
    """By its name, with its log."""
    result = run("log", message("hello"))
    assert "hello" in result.logs[0].getMessage()


def test_a_bench_runs_a_processor_until_nothing_is_due(tmp_path: Path) -> None:
    """Messages of all queues are handled; retries wait until the clock is moved; dead letters have their reasons."""
    calls: list[float] = []

    def handle(reading: Reading) -> bool | None:
        calls.append(reading.temperature)
        return None if reading.temperature < 10 or len(calls) > 3 else False

    with Bench(tmp_path) as bench:
        number = bench.put({"temperature": 1})
        bench.put({"temperature": 20})
        bench.put({"temperature": 3}, topic="a/b", queue="a/+")
        bad = bench.put({"temperature": "x"})
        assert (number, bad) == (1, 3)
        bench.process(handle, backoff_initial=60.0)
        assert bench.states() == States(pending=1, retrying=1, done=1, dead=1)
        assert bench.states("a/+") == States(pending=0, retrying=0, done=1, dead=0)
        (letter,) = bench.dead_letters()
        assert (letter.message.id, letter.reason) == (bad, "body.temperature: not a number")
        (waiting,) = bench.waiting()
        assert 30 <= waiting.due_in <= 60
        assert waiting.reason == "the handler returned False"
        bench.process(handle)
        assert len(calls) == 3
        bench.advance(60)
        bench.process(handle)
        assert bench.states() == States(pending=0, retrying=0, done=2, dead=1)
    assert calls[-1] == 20


def test_the_clock_of_a_bench_stands_still(tmp_path: Path) -> None:
    """Until the test moves it, so that no result depends on the machine's load."""
    times: list[float] = []

    def handle(message: fmq.Message) -> None:
        times.append(message.received_at)
        raise fmq.Retry(after=5000)

    with Bench(tmp_path) as bench:
        bench.put()
        bench.advance(1000)
        bench.put()
        bench.process(handle)
        assert times[1] - times[0] == pytest.approx(1000)
        assert [one.due_in for one in bench.waiting()] == [5000, 5000]


def test_a_bench_runs_batches_and_ends_with_a_circuit_that_is_open(tmp_path: Path) -> None:
    """It does not wait for a target that is down."""
    sizes: list[int] = []

    @fmq.batch_handler
    def handle(messages: list[fmq.Message]) -> None:
        sizes.append(len(messages))
        raise fmq.Unavailable

    with Bench(tmp_path) as bench:
        for _ in range(5):
            bench.put()
        bench.process(handle, batch=3, circuit_initial=3600.0, circuit_maximum=3600.0)
        assert sizes[0] == 3
        assert bench.states().pending == 5


def test_a_bench_times_calls_out(tmp_path: Path) -> None:
    """Although its own clock stands still."""
    end = threading.Event()
    with Bench(tmp_path) as bench:
        bench.put()
        try:
            bench.process(lambda _: end.wait(60) and None, handler_timeout=0.05)
        finally:
            end.set()
        assert [one.reason for one in bench.waiting()] == ["timed out after 0.05 s"]
