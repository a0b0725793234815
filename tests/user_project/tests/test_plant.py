"""Tests as a user writes them."""

from pathlib import Path

import pytest
from plant import orders, readings, totals

import fmq
from fmq.testing import Bench, States, message, run, run_batch


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_reading_is_stored() -> None:
    """By the handler of a module, with its setup."""
    assert run(readings.handle, message({"temperature": 20.5})).outcome == fmq.Done()
    assert run("plant.readings:handle", message({"temperature": 20.5})).is_handled


def test_what_is_no_reading_is_dead() -> None:
    """With the field named."""
    outcome = run(readings.handle, message({"temperature": "warm"})).outcome
    assert isinstance(outcome, fmq.Dead)
    assert outcome.reason == "body.temperature: not a number"
    assert run(readings.handle, message({"temperature": 1, "unit": "F"})).outcome == fmq.Dead("unknown unit 'F'")


def test_orders_have_a_limit() -> None:
    """Of the handler's own settings."""
    order = message({"item": "pump", "count": 5}, topic="orders", content_type="application/json")
    assert run(orders.Shop, order, decode="auto").outcome == fmq.Done()
    assert run(orders.Shop, order, shop_limit=4).outcome == fmq.Dead("5 are too many")


def test_totals_come_in_batches() -> None:
    """Each message has its own outcome."""
    day = {"kind": "day", "kilowatts": 1.5}
    site = {"site": "7"}
    results = run_batch(totals.handle, [message(day, user=site), message(day), message({}, user=site)])
    done, retry, dead = [one.outcome for one in results]
    assert done == fmq.Done()
    assert isinstance(retry, fmq.RetryLater)
    assert (retry.delay, retry.reason) == (60, "the site is unknown")
    assert isinstance(dead, fmq.Dead)


def test_a_whole_queue(fmq_bench: Bench) -> None:
    """With a real store and a real processor."""
    fmq_bench.put({"temperature": 20.5}, topic="plant/7", queue="plant/+")
    bad = fmq_bench.put("nonsense", topic="plant/7", queue="plant/+")
    fmq_bench.process(readings.handle)
    assert fmq_bench.states("plant/+") == States(pending=0, retrying=0, done=1, dead=1)
    assert [letter.message.id for letter in fmq_bench.dead_letters("plant/+")] == [bad]
