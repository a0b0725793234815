"""A batch handler: the whole claimed batch in one call.

    fmq process dstdb 500 --handler examples.batch:handle

Made for work that is cheaper together, such as one INSERT for many rows.
"""

from collections.abc import Sequence

from fmq import Message, batch_handler


@batch_handler
def handle(messages: Sequence[Message]) -> list[bool]:
    """Write the batch; one result for each message, or None for all of them."""
    return [_write(message.payload) for message in messages]


def _write(payload: bytes) -> bool:
    return bool(payload)
