"""The simulated readings, and the handler that takes them in."""

import json
import random

import pytest

from fmq import Message, Reject
from fmq_demo import handler
from fmq_demo.readings import Reading, Sensors


def _readings(count: int) -> list[Reading]:
    sensors = Sensors("home", random.Random(1))
    return [sensors.read(float(at)) for at in range(count)]


def test_every_reading_belongs_to_the_queue_of_its_topic() -> None:
    """Both kinds come from every room, and their filters take them all."""
    readings = _readings(500)
    assert {one.queue for one in readings} == set(Sensors("home", random.Random()).filters)
    assert {(one.topic.split("/")[0], one.queue.split("/")[2]) for one in readings} == {
        ("home", "temperature"),
        ("home", "humidity"),
    }
    assert all(one.topic.split("/")[2] == one.queue.split("/")[2] for one in readings)


def test_values_stay_in_a_plausible_range() -> None:
    """A random walk that is drawn back to what is usual."""
    bodies = [json.loads(one.payload) for one in _readings(20_000)]
    temperatures = [body["value"] for body in bodies if body["sensor"] == "temperature" and body["value"] is not None]
    assert 10 < min(temperatures) < max(temperatures) < 30
    assert [body["number"] for body in bodies] == list(range(1, 20_001))


def test_few_readings_have_no_value() -> None:
    """Enough for dead letters to be seen within seconds, few enough to be the exception."""
    broken = sum(json.loads(one.payload)["value"] is None for one in _readings(20_000))
    assert 20 < broken < 400


def _message(value: float | None) -> Message:
    body = {"room": "office", "sensor": "humidity", "value": value}
    return Message(1, "home/+/humidity", "home/office/humidity", json.dumps(body).encode(), 0.0)


def test_a_reading_without_a_value_is_rejected_at_once() -> None:
    """It would never succeed, so no retry is spent on it."""
    with pytest.raises(Reject, match="humidity sensor in the office sent no value"):
        handler.handle(_message(None))


def test_other_readings_fail_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """About one in fifty attempts fails in a way that a retry heals."""
    monkeypatch.setattr(handler, "_rng", random.Random(1))
    monkeypatch.setattr(handler, "_WORK_SECONDS", 0.0)
    failures = 0
    for _ in range(2_000):
        try:
            handler.handle(_message(50.0))
        except ConnectionError:
            failures += 1
    assert 20 < failures < 80
