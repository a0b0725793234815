"""When the broker counts as holding nothing more: by its answers and the room that it left, never by silence."""

import pytest

from fmq_listener.mqtt.drain import Drain
from support.clock import FakeClock

_SECONDS = 6.0


class Rounds:
    """A drain, the connection that it looks at, and a clock."""

    def __init__(self, *, first: int = 0) -> None:
        """``first``: how many messages come before the first answer."""
        self.clock = FakeClock()
        self.drain = Drain(self.clock, seconds=_SECONDS)
        self.received = 0
        self.batch(first)
        self.round()

    def batch(self, count: int, *, held: bool = False) -> None:
        self.received += count
        self.drain.gathered(count, held=held)

    def round(self, count: int = 0, *, seconds: float = 0.001) -> None:
        """A PINGREQ, ``count`` messages, its PINGRESP, and the time until the next PINGREQ is due."""
        while not self.drain.due:
            self.clock.advance(max(self.drain.wait, 0.001))
        self.drain.asked(self.received)
        self.clock.advance(seconds)
        self.received += count
        self.drain.answered(self.received)

    def until_done(self, count: int = 0, *, most: int = 100) -> int:
        for number in range(most):
            if self.drain.done:
                return number
            self.round(count)
        return most


def test_what_comes_again_when_a_session_is_resumed_says_nothing_of_the_window() -> None:
    """Mosquitto 2.0.11 delivers all of it at once: a window of 700 would make rounds of 100 look as if there was room."""
    rounds = Rounds(first=700)
    for _ in range(100):
        rounds.batch(100)
        rounds.round(100)
        assert not rounds.drain.done


def test_silence_proves_nothing() -> None:
    """Without an answer it is never done, however long nothing comes."""
    rounds = Rounds()
    rounds.drain.asked(0)
    rounds.clock.advance(10_000)
    assert not rounds.drain.done
    assert not rounds.drain.due


def test_empty_rounds_prove_it_after_their_time() -> None:
    """Many of them, over the whole time: a broker may deliver apart from its answers."""
    rounds = Rounds()
    began = rounds.clock.steady()
    assert rounds.until_done() > 10
    assert rounds.clock.steady() - began >= _SECONDS


def test_a_few_slow_rounds_are_too_few() -> None:
    """Two answers that took long say nothing of the time between."""
    rounds = Rounds()
    rounds.round(seconds=50)
    rounds.round(seconds=50)
    assert not rounds.drain.done
    rounds.round()
    rounds.round()
    assert rounds.drain.done


@pytest.mark.parametrize("window", [1, 10, 20, 10_000])
def test_a_backlog_fills_the_window_again_at_once(window: int) -> None:
    """As long as each acknowledgement brings as much again, there is more."""
    rounds = Rounds()
    for _ in range(200):
        rounds.batch(window)
        rounds.round(window)
        assert not rounds.drain.done
    rounds.until_done()
    assert rounds.drain.done


def test_messages_that_come_while_there_is_room_are_new_ones() -> None:
    """Under load some messages come in every round; a broker that leaves half of its window free holds nothing back."""
    rounds = Rounds()
    rounds.batch(100)
    assert rounds.until_done(7) < 100
    assert rounds.drain.done


def test_one_full_round_begins_the_time_anew() -> None:
    """As when a broker delivers again what was not acknowledged."""
    rounds = Rounds()
    rounds.batch(10)
    for _ in range(20):
        rounds.round()
    assert not rounds.drain.done
    rounds.round(10)
    began = rounds.clock.steady()
    rounds.until_done()
    assert rounds.clock.steady() - began >= _SECONDS


def test_a_broker_that_answers_pings_apart_from_its_messages() -> None:
    """PINGRESP comes at once, and messages a moment later: as long as each acknowledgement brings as many, there are more."""
    rounds = Rounds()
    for _ in range(400):
        rounds.round()
        rounds.clock.advance(0.02)
        rounds.batch(10)
        assert not rounds.drain.done
    assert rounds.until_done() < 100


def test_messages_that_come_now_and_then_hold_nothing_up() -> None:
    """One a second, where no batch was ever larger: a broker that had more would have sent it at once."""
    rounds = Rounds()
    for _ in range(100):
        if rounds.drain.done:
            break
        rounds.batch(1)
        for _ in range(5):
            rounds.round()
    assert rounds.drain.done


def test_rounds_that_cannot_tell_lead_to_a_hold() -> None:
    """Over a slow network a round brings as much as a batch: held back for a moment, a batch shows a larger window."""
    rounds = Rounds()
    holds = 0
    for _ in range(1_000):
        if rounds.drain.done:
            break
        hold = rounds.drain.take_hold()
        holds += hold
        rounds.batch(500 if hold else 50, held=hold)
        rounds.round(50, seconds=0.05)
    assert rounds.drain.done
    assert 1 <= holds <= 3


def test_answers_to_other_pings_are_no_answers() -> None:
    """Keep-alive has pings of its own."""
    rounds = Rounds()
    rounds.drain.answered(0)
    assert not rounds.drain.done
    assert rounds.drain.due
