"""Decoding and filters before a handler, on a real queue."""

import asyncio
import gzip
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fmq import Message, Reject, batch_handler
from fmq.message import Incoming, Properties, with_body
from support.workbench import QUEUE, Workbench, messages_of

GOOD, BAD, QUIET = b'{"kind": "alarm"}', b"{", b'{"kind": "calm"}'


def _forms(seen: list[object]) -> dict[str, Callable[..., Any]]:
    def plain(message: Message) -> None:
        seen.append(message.body)

    async def awaited(message: Message) -> None:
        seen.append(message.body)

    @batch_handler
    def batch(messages: Sequence[Message]) -> list[bool]:
        seen.extend(message.body for message in messages)
        return [True] * len(messages)

    @batch_handler
    async def awaited_batch(messages: Sequence[Message]) -> None:
        seen.extend(message.body for message in messages)

    return {"plain": plain, "async": awaited, "batch": batch, "async batch": awaited_batch}


@pytest.mark.parametrize("form", ["plain", "async", "batch", "async batch"])
def test_what_reaches_a_handler(tmp_path: Path, form: str) -> None:
    """The decoded body of what the filter admits; others are done and counted, what can't be decoded is dead at once."""
    seen: list[object] = []
    settings = {"decode": "json", "filter": "body.kind == 'alarm'"}
    with Workbench(tmp_path, _forms(seen)[form], **settings) as bench:
        bench.put(GOOD, BAD, QUIET, GOOD, BAD, QUIET, QUIET)
        bench.turn_until(lambda: bench.states() == (0, 0, 5, 2))
        assert seen == [{"kind": "alarm"}] * 2
        assert bench.metric("fmq_processed_total", outcome="done") == 2
        assert bench.metric("fmq_processed_total", outcome="skipped") == 3
        assert (
            bench.metric("fmq_processed_total", outcome="dead")
            == bench.metric("fmq_dead_lettered_total", reason="unreadable")
            == 2
        )
        assert bench.metric("fmq_retries_total") == 0
        assert {(letter.message.payload, letter.message.retry_count) for letter in bench.dead()} == {(BAD, 0)}
        assert bench.dead()[0].reason.startswith("not decoded as json: Expecting property name")


@pytest.mark.parametrize("form", ["batch", "async batch"])
def test_a_batch_of_which_nothing_is_left_reaches_no_handler(tmp_path: Path, form: str) -> None:
    """An empty list would be a surprise."""
    seen: list[object] = []
    calls: list[int] = []
    handle = _forms(seen)[form]

    @batch_handler
    def counting(messages: Sequence[Message]) -> Any:  # noqa: ANN401
        calls.append(len(messages))
        return handle(messages)

    with Workbench(
        tmp_path, counting if form == "batch" else handle, decode="json", filter="body.kind == 'x'"
    ) as bench:
        bench.put(QUIET, BAD)
        bench.turn_until(lambda: bench.states() == (0, 0, 1, 1))
    assert calls == seen == []


@pytest.mark.parametrize("answer", [False, ValueError("down"), [True], [True, Reject("no")]])
@pytest.mark.parametrize("form", ["batch", "async batch"])
def test_a_batchs_results_belong_to_what_it_got(tmp_path: Path, form: str, answer: object) -> None:
    """Whatever it returns or raises, the others have results of their own."""

    def respond() -> object:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @batch_handler
    def plain(_: Sequence[Message]) -> object:
        return respond()

    @batch_handler
    async def awaited(_: Sequence[Message]) -> object:
        return respond()

    handle = plain if form == "batch" else awaited
    with Workbench(tmp_path, handle, decode="json", filter="body.kind == 'alarm'", backoff_initial=99) as bench:
        bench.put(BAD, GOOD, QUIET, GOOD)
        states = (
            (0, 0, 2, 2)
            if answer == [True, Reject] or (isinstance(answer, list) and len(answer) == 2)
            else (2, 0, 1, 1)
        )
        bench.turn_until(lambda: bench.states() == states)
        assert bench.dead()[0].message.payload == BAD


def test_without_decoding_the_body_is_the_payload(tmp_path: Path) -> None:
    """Bytes as they are; a filter alone works on topic and properties."""
    seen: list[object] = []
    with Workbench(tmp_path, lambda message: seen.append((message.topic, message.body)), filter="user.keep") as bench:
        bench.put(b"\xff")
        bench.other.put(
            [Incoming(QUEUE, "kept", b"\xfe", 0.0, properties=Properties(user_properties=(("keep", "1"),)))]
        )
        bench.turn_until(lambda: bench.stats().done == 2)
    assert seen == [("kept", b"\xfe")]


def test_a_message_that_the_filter_drops_by_its_topic_need_not_be_decodable(tmp_path: Path) -> None:
    """One queue may carry several kinds of payload."""
    seen: list[object] = []
    wanted = "topic_matches(topic, 'a/+') && body.kind == 'alarm'"
    with Workbench(tmp_path, lambda message: seen.append(message.body), decode="gzip,json", filter=wanted) as bench:
        bench.put(BAD, topic="b/1")
        bench.put(gzip.compress(GOOD), topic="a/1")
        bench.turn_until(lambda: bench.states() == (0, 0, 2, 0))
    assert seen == [{"kind": "alarm"}]


def test_a_filter_without_an_answer_is_told(tmp_path: Path) -> None:
    """The message is neither handled nor skipped but dead, with the reason."""
    with Workbench(tmp_path, lambda _: None, decode="json", filter="starts_with(body.kind, 'al')") as bench:
        bench.put(b'{"kind": 7}')
        bench.turn_until(lambda: bench.stats().dead == 1)
        assert bench.dead()[0].reason.startswith("the filter failed: ")
        assert bench.metric("fmq_dead_lettered_total", reason="unreadable") == 1


@pytest.mark.parametrize("form", ["plain", "async"])
def test_decoding_runs_where_the_handler_runs(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the supervisor's thread, which leases and shutdown depend on; and it counts as handling time."""
    threads: list[str] = []
    seen: list[object] = []
    loads = __import__("json").loads

    def noting(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        threads.append(threading.current_thread().name)
        return loads(*arguments, **options)

    with Workbench(tmp_path, _forms(seen)[form], decode="json") as bench:
        monkeypatch.setattr("fmq_processor.prepare.decoding.json.loads", noting)
        bench.put(GOOD, BAD)
        bench.turn_until(lambda: bench.states() == (0, 0, 1, 1))
        assert bench.metric("fmq_handle_seconds_count") == 2
    assert set(threads) <= {"handler", "handlers"}
    assert len(threads) == 2


def test_a_message_nested_too_deep_harms_nothing_else(tmp_path: Path) -> None:
    """It is dead, and the same thread goes on with the next one."""
    seen: list[object] = []
    with Workbench(tmp_path, lambda message: seen.append(message.body), decode="json") as bench:
        bench.put(b"[" * 1_000_000, GOOD)
        bench.turn_until(lambda: bench.states() == (0, 0, 1, 1))
    assert seen == [{"kind": "alarm"}]


def test_an_async_batch_that_hangs_is_cancelled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As without decoding: the cancellation ends the call and is not a result."""
    caplog.set_level(logging.INFO)
    started, ended = threading.Event(), threading.Event()

    @batch_handler
    async def handle(_: Sequence[Message]) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with Workbench(tmp_path, handle, decode="json", handler_timeout=30) as bench:
        bench.put(GOOD, GOOD)
        bench.turn_until(started.is_set)
        bench.turn()
        bench.clock.advance(31)
        bench.turn_until(lambda: bench.metric("fmq_timeouts_total") == 2)
        bench.turn_until(lambda: ended.is_set() and not bench.runner.running())
        bench.turn_until(lambda: not bench.runner._cancelled)  # type: ignore[attr-defined]
        bench.turn()
        assert not messages_of(caplog.records, "its result is dropped")


def test_a_message_with_a_body_is_the_same_message() -> None:
    """For tests of handlers too: equal in all else, and its payload stays raw."""
    message = Message(1, "q", "t", GOOD, 5.0, retry_count=2)
    decoded = with_body(message, {"kind": "alarm"})
    assert isinstance(decoded, Message)
    assert decoded == message
    assert (decoded.body, decoded.payload, decoded.retry_count, message.body) == ({"kind": "alarm"}, GOOD, 2, GOOD)
