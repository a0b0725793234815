"""The memory of values counts."""

from fmq.handler import Handler
from fmq.message import Message
from fmq_processor.prepare.decoding import make_decoder
from fmq_processor.prepare.memory import Room
from fmq_processor.prepare.reading import reading


def test_a_value_takes_as_much_memory_as_what_it_was_made_of() -> None:
    """Until the call ends: the decoded payload, and the value of the handler's type."""
    room, held = Room(1_000_000), []

    def handle(_: Message) -> None:
        held.append(room._held)

    for decode in ("none", "json"):
        handler = Handler("mine:handle", handle, implied_decode=decode)
        read = reading(handler, decode=make_decoder("json", most_bytes=1_000), admitted=None, room=room)
        read.handle(Message(1, "q", "t", b'{"temperature": 20.5}', 0.0))
    untyped, typed = held
    assert typed == 2 * untyped > 0
    assert room._held == 0
