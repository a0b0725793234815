"""The circuit breaker alone: when it opens, when it does not, what counts, and how it closes."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmq.backoff import Backoff
from fmq.message import Message
from fmq_processor.guards.circuit_breaker import LONGEST_AFTER, Breaker, Failure
from support.clock import FakeClock

DOWN = Failure("connection refused", is_unavailable=True)
OTHER = Failure("KeyError: 'x'")
INITIAL, MAXIMUM = 1.0, 60.0


class Diary:
    """Notes each change."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.waits: list[float] = []

    def opened(self, reason: str, probe_in: float) -> None:
        self.changes.append("opened")
        self.waits.append(probe_in)
        self.reason = reason

    def probing(self, message: Message) -> None:
        self.changes.append(f"probing {message.id}")

    def probed(self, reason: str, probe_in: float) -> None:  # noqa: ARG002 - the protocol's
        self.waits.append(probe_in)

    def closed(self, seconds: float) -> None:
        self.changes.append(f"closed after {seconds:g}")


class Circuit:
    """A breaker with a clock and a diary."""

    def __init__(self, failures: int = 5, *, jitter: float = 0.0) -> None:
        self.clock = FakeClock()
        self.diary = Diary()
        self.breaker = Breaker(
            failures=failures,
            backoff=Backoff(INITIAL, MAXIMUM, jitter),
            clock=self.clock,
            rng=random.Random(1),
            observer=self.diary,
        )

    def opened(self) -> "Circuit":
        assert self.breaker.failed(message(998), DOWN) is not None
        assert self.breaker.failed(message(999), DOWN) is not None
        assert self.breaker.is_open
        return self

    def probe(self, number: int) -> Message:
        """Wait until a probe is due, and begin it."""
        self.clock.advance(max(0.0, self.breaker.probe_at - self.clock.steady()))
        assert self.breaker.may_probe
        self.breaker.begin_probe(message(number))
        assert not self.breaker.may_probe
        return message(number)


def message(number: int, queue: str = "q") -> Message:
    return Message(number, queue, "t", b"", 0.0)


def test_failures_in_a_row_open_it() -> None:
    """As many as the setting says; the one that opens it does not count any more."""
    circuit = Circuit(failures=5)
    for number in range(4):
        assert circuit.breaker.failed(message(number), OTHER) is None
        assert not circuit.breaker.is_open
    assert circuit.breaker.failed(message(4), OTHER) == INITIAL
    assert circuit.breaker.is_open
    assert circuit.diary.reason == "5 failures in a row, the last: KeyError: 'x'"


def test_a_success_between_begins_the_row_anew() -> None:
    """However many fail in all."""
    circuit = Circuit(failures=5)
    for number in range(100):
        for each in range(4):
            assert circuit.breaker.failed(message(10 * number + each), OTHER) is None
        circuit.breaker.succeeded(message(10 * number + 9))
    assert not circuit.breaker.is_open


def test_one_message_alone_is_no_outage() -> None:
    """A queue with nothing but a message that fails: it uses up its attempts as without a breaker."""
    circuit = Circuit(failures=3)
    assert [circuit.breaker.failed(message(1), OTHER) for _ in range(50)] == [None] * 50
    assert not circuit.breaker.is_open
    assert circuit.breaker.failed(message(2), OTHER) is not None
    assert circuit.breaker.is_open


def test_unavailable_opens_it_at_once() -> None:
    """Two in a row, whatever the setting for other failures; neither counts."""
    circuit = Circuit(failures=1_000)
    assert circuit.breaker.failed(message(1), DOWN) == INITIAL
    assert circuit.breaker.failed(message(2), DOWN) == INITIAL
    assert circuit.diary.changes == ["opened"]


def test_none_is_none() -> None:
    """With a setting of 0 everything counts, and nothing opens."""
    circuit = Circuit(failures=0)
    for number in range(50):
        assert circuit.breaker.failed(message(number), DOWN) is None
        assert circuit.breaker.failed(message(number), OTHER) is None
    assert not circuit.breaker.is_open


def test_a_message_that_finds_its_target_unavailable_while_others_do_not_is_to_blame() -> None:
    """It never opens the circuit, and from its second attempt on it uses up its retries."""
    circuit = Circuit()
    counted = []
    for attempt in range(10):
        counted.append(circuit.breaker.failed(message(1), DOWN) is None)
        for other in range(3):
            circuit.breaker.succeeded(message(100 + 10 * attempt + other))
    assert counted == [False] + [True] * 9
    assert circuit.diary.changes == []


def test_a_message_is_not_to_blame_for_what_others_find_too() -> None:
    """Struck by one outage after another, with successes between them, it never loses a retry."""
    circuit = Circuit()
    for _ in range(20):
        assert circuit.breaker.failed(message(1), DOWN) is not None
        assert circuit.breaker.failed(message(2), DOWN) is not None
        circuit.breaker.failed(circuit.probe(3), DOWN)
        circuit.breaker.succeeded(circuit.probe(4))
        circuit.breaker.succeeded(message(5))
    assert circuit.diary.changes.count("opened") == 20


def test_messages_that_open_it_together_for_no_reason_are_found_out() -> None:
    """Two come one after the other each time, and the target serves all others: neither lives forever."""
    circuit = Circuit()
    counted = {1: 0, 2: 0}
    for _ in range(20):
        for number in counted:
            if not circuit.breaker.is_open:
                counted[number] += circuit.breaker.failed(message(number), DOWN) is None
        if circuit.breaker.is_open:
            circuit.breaker.succeeded(circuit.probe(3))
        circuit.breaker.succeeded(message(4))
    assert min(counted.values()) >= 15
    assert circuit.diary.changes.count("opened") == 1


def test_a_rate_limit_costs_no_message_a_retry() -> None:
    """A target that takes three messages a minute and says so: whichever message is refused, and however often."""
    circuit = Circuit()
    rng = random.Random(3)
    for _ in range(200):
        for _ in range(3):
            circuit.breaker.succeeded(message(rng.randrange(100, 10_000)))
        for _ in range(2):
            assert circuit.breaker.failed(message(rng.randrange(3)), DOWN._replace(after=60.0)) == 60.0
        circuit.breaker.succeeded(circuit.probe(rng.randrange(100, 10_000)))


def test_another_queues_success_is_no_proof() -> None:
    """Queues may have targets of their own: one that is down takes nothing from its messages."""
    circuit = Circuit()
    for number in range(50):
        assert circuit.breaker.failed(message(number % 7, "down"), DOWN) is not None
        circuit.breaker.succeeded(message(number, "up"))
    assert not circuit.breaker.is_open


def test_the_probes_delay_doubles_to_its_maximum() -> None:
    """One message at a time; while the circuit is open no failure counts."""
    circuit = Circuit().opened()
    for number in range(10):
        assert circuit.breaker.failed(circuit.probe(number), OTHER) is not None
    assert circuit.diary.waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]


def test_a_target_is_left_alone_for_as_long_as_it_asks() -> None:
    """Longer than the maximum too, but not for years."""
    circuit = Circuit()
    circuit.breaker.failed(message(1), DOWN)
    circuit.breaker.failed(message(2), DOWN._replace(after=300.0))
    circuit.breaker.failed(circuit.probe(3), DOWN._replace(after=1e12))
    circuit.breaker.failed(circuit.probe(4), DOWN._replace(after=0.5))
    assert circuit.diary.waits == [300, LONGEST_AFTER, 4]


def test_a_straggler_that_asks_for_time_moves_the_probe() -> None:
    """It was under way when the circuit opened."""
    circuit = Circuit().opened()
    assert circuit.breaker.failed(message(5), DOWN._replace(after=120.0)) == 120
    assert circuit.breaker.probe_at == circuit.clock.steady() + 120


def test_a_success_closes_it() -> None:
    """That of the probe; what was under way since before only brings the next probe forward."""
    circuit = Circuit().opened()
    circuit.breaker.succeeded(message(5))
    assert circuit.breaker.is_open
    assert circuit.breaker.may_probe
    circuit.breaker.succeeded(circuit.probe(6))
    assert not circuit.breaker.is_open
    assert circuit.diary.changes == ["opened", "probing 6", "closed after 0"]


def test_a_probe_that_tells_nothing_is_followed_by_another_at_once() -> None:
    """Rejected, skipped, given back: the target was not asked."""
    circuit = Circuit().opened()
    for number in range(10):
        circuit.breaker.inconclusive(circuit.probe(number))
        assert circuit.breaker.may_probe
    circuit.breaker.inconclusive(message(77))
    assert circuit.diary.waits == [1]


def test_after_closing_it_begins_anew() -> None:
    """Neither the row nor the delay of the last time is left."""
    circuit = Circuit(failures=3).opened()
    for number in range(4):
        circuit.breaker.failed(circuit.probe(number), OTHER)
    circuit.breaker.succeeded(circuit.probe(9))
    assert [circuit.breaker.failed(message(number), OTHER) for number in (1, 2)] == [None, None]
    assert circuit.breaker.failed(message(3), OTHER) == INITIAL


def test_what_is_remembered_is_bounded() -> None:
    """An outage has any number of messages."""
    circuit = Circuit(failures=10_000)
    for number in range(5_000):
        circuit.breaker.failed(message(2 * number), DOWN)
        circuit.breaker.succeeded(message(2 * number + 1))
    assert len(circuit.breaker._troubled) <= 1_000
    assert len(circuit.breaker._latest) <= 1


_EVENT = st.sampled_from(["success", "down", "other", "nothing", "wait"])


@settings(max_examples=300)
@given(
    events=st.lists(st.tuples(_EVENT, st.integers(1, 6), st.sampled_from([None, 0.0, 30.0, 1e9])), max_size=60),
    failures=st.integers(1, 6),
)
def test_any_history(events: list[tuple[str, int, float | None]], failures: int) -> None:
    """Whatever happens: it opens only on several failures since the last success; open, nothing counts, a probe is
    always due within its time, and the first probe that succeeds closes it.
    """
    circuit = Circuit(failures, jitter=0.5)
    breaker = circuit.breaker
    row = 0
    for event, number, after in events:
        was_open = breaker.is_open
        one = message(number)
        if breaker.may_probe:
            breaker.begin_probe(one)
        match event:
            case "success":
                is_probe = breaker._probe == ("q", number)
                breaker.succeeded(one)
                row = 0
                assert not breaker.is_open or not is_probe
            case "nothing":
                breaker.inconclusive(one)
            case "wait":
                circuit.clock.advance(after or 1.0)
            case _:
                delay = breaker.failed(one, Failure("x", event == "down", after if event == "down" else None))
                row += 1
                assert delay is not None or not breaker.is_open
                assert delay is None or 0 <= delay <= LONGEST_AFTER
                assert not was_open or delay is not None
        if breaker.is_open and not was_open:
            assert row >= min(2, failures)
        assert breaker.probe_at - circuit.clock.steady() <= LONGEST_AFTER
    if breaker.is_open:
        if breaker._probe:
            breaker.inconclusive(message(breaker._probe[1]))
        breaker.succeeded(circuit.probe(7))
        assert not breaker.is_open


@pytest.mark.parametrize("poison", [DOWN, OTHER])
@given(poisoned=st.sets(st.integers(0, 9), max_size=8), start=st.integers(0, 9))
def test_poison_among_the_probes_does_not_keep_it_open(poison: Failure, poisoned: set[int], start: int) -> None:
    """The target is back, and probes go round ten messages of which some fail forever: one that does not closes it."""
    circuit = Circuit().opened()
    number, probes = start, 0
    while circuit.breaker.is_open:
        probe = circuit.probe(number)
        probes += 1
        if number in poisoned:
            circuit.breaker.failed(probe, poison)
        else:
            circuit.breaker.succeeded(probe)
        number = (number + 1) % 10
    assert probes <= len(poisoned) + 1
