"""Messages whose Message Expiry Interval (MQTT 5) has passed."""

from pathlib import Path

import pytest

from fmq.message import Message, Properties
from support.workbench import Workbench

MINUTE = Properties(message_expiry_interval=60)


@pytest.mark.parametrize(("waited", "handled"), [(0.0, [b"a", b"b"]), (59.9, [b"a", b"b"]), (60.0, [b"b"])])
def test_an_expired_message_is_not_handled_but_counted(tmp_path: Path, waited: float, handled: list[bytes]) -> None:
    """From its interval after the receipt on; one without an interval never expires."""
    seen: list[bytes] = []
    with Workbench(tmp_path, lambda message: seen.append(message.payload)) as bench:
        bench.put(b"a", properties=MINUTE)
        bench.put(b"b")
        bench.clock.advance(waited)
        bench.turn_until(lambda: bench.states() == (0, 0, 2, 0))
        assert seen == handled
        assert bench.metric("fmq_processed_total", outcome="expired") == 2 - len(handled)
        assert bench.metric("fmq_processed_total", outcome="done") == len(handled)


def test_it_may_expire_between_two_attempts(tmp_path: Path) -> None:
    """A retry that comes too late is none: the message ends expired, not dead."""
    seen: list[bytes] = []

    def fail(message: Message) -> bool:
        seen.append(message.payload)
        return False

    with Workbench(tmp_path, fail, backoff_initial=100, backoff_maximum=100) as bench:
        bench.put(b"a", properties=MINUTE)
        bench.turn_until(lambda: bench.metric("fmq_retries_total") == 1)
        bench.clock.advance(100)
        bench.turn_until(lambda: bench.states() == (0, 0, 1, 0))
        assert seen == [b"a"]
        assert bench.metric("fmq_processed_total", outcome="expired") == 1


def test_expiry_may_be_off(tmp_path: Path) -> None:
    """Then the interval means nothing."""
    seen: list[bytes] = []
    with Workbench(tmp_path, lambda message: seen.append(message.payload), expiry=False) as bench:
        bench.put(b"a", properties=MINUTE)
        bench.clock.advance(600)
        bench.turn_until(lambda: bench.states() == (0, 0, 1, 0))
        assert seen == [b"a"]


@pytest.mark.parametrize("wrong", [3.2e8, -3.2e8])
@pytest.mark.parametrize(("waited", "handled"), [(59.0, [b"a"]), (60.0, [])])
def test_a_clock_that_was_wrong_at_receipt(tmp_path: Path, wrong: float, waited: float, handled: list[bytes]) -> None:
    """Ten years ahead or behind, and put right since: the interval is counted by a clock that nobody sets."""
    seen: list[bytes] = []
    with Workbench(tmp_path, lambda message: seen.append(message.payload)) as bench:
        bench.clock.jump(wrong)
        bench.put(b"a", properties=MINUTE)
        bench.clock.jump(-wrong)
        bench.clock.advance(waited)
        bench.turn_until(lambda: bench.states() == (0, 0, 1, 0))
        assert seen == handled
