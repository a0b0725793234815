"""A batch handler: receives the whole claimed batch in one call.

    fmq process dstdb 500 --handler examples.batch:handle

Use it for work that is cheaper in batches, such as one INSERT for many rows.
"""

from collections.abc import Sequence

from fmq import Message, batch_handler


@batch_handler
def handle(messages: Sequence[Message]) -> list[bool]:
    """Write the batch. Returns one result per message; None would mean that all of them succeeded."""
    return [_write(message.payload) for message in messages]


def _write(payload: bytes) -> bool:
    return bool(payload)
