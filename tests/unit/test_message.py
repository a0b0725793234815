"""Messages as values."""

from itertools import product
from uuid import UUID

from fmq.message import Message, unique_id

STORE, OTHER = UUID(int=1), UUID(int=2)


def test_an_id_is_unique_beyond_the_store() -> None:
    """It differs with the store, the queue, the number and the time of receipt, and stays the same over attempts."""
    seen = {
        unique_id(store, Message(number, queue, "t", b"x", at))
        for store, queue, number, at in product((STORE, OTHER), ("q", "q\n1"), (1, 11), (0.5, 1.0))
    }
    assert len(seen) == 16
    first, later = (Message(1, "q", "t", b"x", 0.5, retry_count=count) for count in (0, 3))
    assert unique_id(STORE, first) == unique_id(STORE, later)
