"""A handler's log lines can say which message they are about."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

import fmq
from fmq.message import Message
from fmq_processor.runners.current import current_fields
from support.workbench import QUEUE, Workbench

_seen: list[tuple[str, Mapping[str, object]]] = []


def _note(where: str) -> None:
    _seen.append((where, current_fields()))


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    _seen.clear()


def _plain(_: Message) -> None:
    _note("handler")


async def _async(_: Message) -> None:
    async def task() -> None:
        _note("task")

    _note("handler")
    await asyncio.create_task(task())
    await asyncio.to_thread(_note, "thread")


@fmq.batch_handler
def _batch(_: list[Message]) -> None:
    _note("handler")


@pytest.mark.parametrize(("handle", "places"), [(_plain, {"handler"}), (_async, {"handler", "task", "thread"})])
def test_each_place_knows_its_message(tmp_path: Path, handle: object, places: set[str]) -> None:
    """In threads, and in the tasks and threads of an event loop that runs several calls at once."""
    assert callable(handle)
    with Workbench(tmp_path, handle, concurrency=3) as bench:
        bench.put(b"1", b"2", b"3")
        bench.turn_until(lambda: bench.stats().done == 3)
    expected = {(where, number) for where in places for number in (1, 2, 3)}
    assert {(where, fields["message_id"]) for where, fields in _seen} == expected
    assert {fields["queue"] for _, fields in _seen} == {QUEUE}


def test_a_batch_names_its_messages(tmp_path: Path) -> None:
    """The first 20 of them: a line stays short."""
    with Workbench(tmp_path, _batch, batch=30) as bench:
        bench.put(*[b"x"] * 30)
        bench.turn_until(lambda: bench.stats().done == 30)
    assert [fields for _, fields in _seen] == [{"queue": QUEUE, "message_ids": list(range(1, 21))}]


def test_there_is_no_message_outside_a_call() -> None:
    """The worker's own lines are about none."""
    assert not current_fields()
