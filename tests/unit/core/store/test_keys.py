"""Keys by which duplicates are recognized."""

from uuid import UUID

from fmq.message import Message
from fmq.store.keys import MessageKeys


def test_keys_of_messages() -> None:
    """They sort as the ids do. Another queue, time of receipt or store has another key, also where the ids are the same."""
    one = Message(255, "s/#", "s/a", b"x", 1.5)
    keys = [MessageKeys(UUID(int=7)).key(one._replace(id=number)) for number in (0, 9, 10, 255, 2**40, 2**48 - 1)]
    assert keys == sorted(keys)
    assert MessageKeys(UUID(int=7)).key(one._replace(payload=b"y", retry_count=2)) == keys[3]
    keys += [MessageKeys(UUID(int=7)).key(one._replace(received_at=1.0))]
    keys += [MessageKeys(UUID(int=7)).key(one._replace(queue="s/\ud800"))]
    keys += [MessageKeys(UUID(int=8)).key(one)]
    assert len(set(keys)) == len(keys)


def test_an_id_never_runs_into_the_time() -> None:
    """Ids of more digits than usual, which somebody may set by hand, have keys of their own: no message is lost as a duplicate."""
    keys, one = MessageKeys(UUID(int=7)), Message(0x1234567890AB, "q", "t", b"x", 17.5)
    assert keys.key(one) != keys.key(one._replace(id=0x1234567890AB1, received_at=7.5))
