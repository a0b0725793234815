"""Messages as values."""

from itertools import product
from uuid import UUID, uuid5

import pytest

from fmq import message
from fmq.message import Message, Properties, held_bytes, unique_id, unique_text

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


def test_an_id_is_a_uuid_of_version_5() -> None:
    """Made from the store's identity, the queue, the number and the time, as docs and receivers may rely on."""
    for number in range(50):
        one = Message(number, "sensors/ä", "t", b"x", 1_764_000_000.1 + number)
        expected = uuid5(STORE, f"sensors/ä\n{number}\n{one.received_at!r}")
        assert (unique_id(STORE, one), unique_id(STORE, one).version) == (expected, 5)
        assert unique_text(STORE, one) == str(expected)


def test_a_message_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the store that the process serves; elsewhere nobody knows it."""
    monkeypatch.setattr(message, "_serving", [])
    one = message.Message(1, "q", "t", b"", 5.0)
    with pytest.raises(RuntimeError, match="Only a processor"):
        _ = one.unique_id
    message.serve_store(UUID(int=7))
    assert one.unique_id == message.unique_id(UUID(int=7), one) == one._replace(retry_count=3).unique_id
    assert one.unique_id != one._replace(queue="p").unique_id


def test_the_memory_of_many_is_the_sum() -> None:
    """It is added up in another way than that of one."""
    properties = Properties(content_type="text/plain", user_properties=(("a", "b"), ("c", "d" * 100)))
    messages = [Message(1, "q", "t/ä", b"x" * 10, 0.5), Message(2, "q", "t", b"", 0.5, properties=properties)]
    assert held_bytes(messages) == sum(one.held_bytes for one in messages)
    assert held_bytes([]) == 0
