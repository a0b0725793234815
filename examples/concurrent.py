"""An async handler: as many calls at once as the batch has messages.

    fmq process alerts/critical 100 --handler examples.concurrent:handle

Made for work that waits, such as requests to a slow service.
"""

import asyncio

from fmq import Message, Retry


async def handle(message: Message) -> None:
    """Ask a slow service; come back in a minute if it is overloaded."""
    status = await _ask(message.payload)
    if status == 503:
        raise Retry(after=60, reason="the service is overloaded")


async def _ask(_: bytes) -> int:
    await asyncio.sleep(0.05)  # your HTTP client stands here
    return 200
