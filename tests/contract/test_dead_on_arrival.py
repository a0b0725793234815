"""What every backend of Store must do with a message that comes with a reason: keep it as a dead letter."""

import pytest

from contract.filling import figures, fill, payloads
from fmq.message import Incoming, Properties, Terms
from fmq.store.roles import Store
from support.clock import FakeClock

BAD = Incoming("q", "t", b"bad", 5.0, 2, True, Properties(content_type="x", raw=b"\x04\x03\0\1x\xff"), "property 255")


@pytest.mark.parametrize("terms", [{}, {1: Terms(key="k", key_seconds=60, delay=60)}])
def test_it_is_a_dead_letter_from_the_start(queue: Store, clock: FakeClock, terms: dict[int, Terms]) -> None:
    """It is counted as dead and handed to nobody, and everything about it is kept, in the order of arrival."""
    good = Incoming("q", "t", b"good", 5.0)
    assert not queue.put([good, BAD, good], terms=terms)
    assert (queue.stats("q").stored, figures(queue)) == (3, (2, 0, 0, 1))
    (letter,) = queue.dead_letters("q")
    assert (letter.reason, letter.dead_at, letter.message.id) == (BAD.reason, clock.wall(), 2)
    assert letter.message[2:7] == BAD[1:6]
    assert letter.message.properties == BAD.properties
    assert payloads(queue) == ["good", "good"]


def test_an_operator_hands_it_out(queue: Store) -> None:
    """Requeued, it is a message like any other; purged, it is gone."""
    queue.put([BAD, BAD])
    assert queue.requeue_dead("q", [1]) == 1
    assert queue.purge_dead("q") == 1
    (claim,) = queue.claim("q", 10, lease=60)
    assert (claim.message.properties, claim.attempt) == (BAD.properties, 1)


def test_messages_before_and_behind_it_are_handed_out(queue: Store, clock: FakeClock) -> None:
    """Whatever waits, is lent or waits again when dead letters come, nothing is passed over."""
    fill(queue, clock, "a")
    queue.put([BAD])
    fill(queue, clock, "b")
    assert payloads(queue, 1) == ["a"]
    queue.put([BAD, BAD])
    fill(queue, clock, "c")
    queue.put([BAD])
    assert payloads(queue) == ["b", "c"]
    clock.advance(61)
    assert [payloads(queue, 1) for _ in range(3)] == [["a"], ["b"], ["c"]]


def test_large_ones_among_small_ones_keep_their_order(queue: Store, clock: FakeClock) -> None:
    """However a batch is split into statements, ids follow the order of arrival."""
    texts = [f"{number:03d}" + "x" * (70_000 if number % 7 == 0 else 10) for number in range(120)]
    fill(queue, clock, *texts)
    assert payloads(queue, 200) == texts
