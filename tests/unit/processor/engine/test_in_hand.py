"""What a worker holds, and how much memory that takes."""

import pytest

from fmq.message import Claim, Message
from fmq_processor.engine.in_hand import InHand
from fmq_processor.job import Job


def _job(size: int) -> Job:
    return Job((Claim(Message(1, "q", "", b"x" * size, 0.0), 1, 60.0),))


@pytest.mark.parametrize("is_asked", [True, False], ids=["asked meanwhile", "asked at the end"])
def test_the_memory_of_what_is_in_hand(*, is_asked: bool) -> None:
    """Each job counts from when it comes until it goes, whenever somebody asks."""
    in_hand, (one, two, three) = InHand(), map(_job, (100, 20, 3))
    in_hand.add([one, two])
    if is_asked:
        assert in_hand.bytes == 120
    assert in_hand.drop(one)
    assert not in_hand.drop(one)
    in_hand.add([three])
    assert in_hand.bytes == in_hand.bytes == 23
    assert in_hand.drop(two)
    assert in_hand.drop(three)
    assert in_hand.bytes == 0
