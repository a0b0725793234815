"""An async handler: one concurrent call per message of the batch.

    fmq process alerts/critical 100 --handler examples.concurrent:handle

Use it for work that waits, such as requests to a slow service.
"""

import asyncio

from fmq import Message, Retry


async def handle(message: Message) -> None:
    """Call a slow service. Retry in a minute if it is overloaded."""
    status = await _ask(message.payload)
    if status == 503:
        raise Retry(after=60, reason="the service is overloaded")


async def _ask(_: bytes) -> int:
    await asyncio.sleep(0.05)  # your HTTP client goes here
    return 200
