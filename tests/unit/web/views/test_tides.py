"""Flows of full minutes, which are made once."""

from fmq.message import QueueStats
from fmq.store.minutes import decode_minutes, encode_minute
from fmq.store.records import Minute, QueueMinute
from fmq_web.views.minutes import tides


def _minute(number: int, **stored: int) -> Minute:
    return Minute(number, {name: QueueMinute(count, 0, 0, 0, count, 0, 0) for name, count in stored.items()})


def test_each_minute_has_its_own_number() -> None:
    """Also if nothing happened, so that all minutes have the same text."""
    text = encode_minute([QueueStats("q", 60, 60, 0, 0, 0, None)], 0.0)
    found = tides(decode_minutes([(number, text) for number in range(10, 14)]))
    assert [one["q"].minute for one in found] == [11, 12, 13]
    assert {one["q"].inflow for one in found} == {0.0}


def test_a_gap_has_no_flow_and_a_new_queue_began_empty() -> None:
    """Nobody knows how much of a difference belongs to the minute after a gap."""
    first, second, later = _minute(1, q=60), _minute(2, q=120, new=30), _minute(4, q=180, new=30)
    (found,) = tides([first, second, later])
    assert (found["q"].inflow, found["new"].inflow) == (1.0, 0.5)


def test_what_is_made_again_is_the_same() -> None:
    """Of the same minutes; others with the same number are not taken for them."""
    minutes = [_minute(1, q=0), _minute(2, q=60)]
    assert tides(minutes)[0]["q"] is tides(minutes)[0]["q"]
    assert tides([_minute(1, q=0), _minute(2, q=120)])[0]["q"].inflow == 2.0


def test_a_minute_of_one_queue() -> None:
    """It has that queue alone, also after all of them were read."""
    text = encode_minute([QueueStats(name, 1, 1, 0, 0, 0, None) for name in "ab"], 0.0)
    assert set(decode_minutes([(1, text)])[0].queues) == {"a", "b"}
    assert set(decode_minutes([(1, text)], "a")[0].queues) == {"a"}
    assert decode_minutes([(1, "[]"), (2, '{"a": "odd"}'), (3, "{}")]) == [Minute(3, {})]
