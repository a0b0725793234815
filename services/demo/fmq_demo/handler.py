"""The demo's handler: a little work, which now and then fails, so that retries and dead letters are seen."""

import random
import time

from fmq import Message, Reject

_WORK_SECONDS = 0.001
_FAILING_SHARE = 0.02
_rng = random.Random()


def handle(message: Message) -> None:
    """Take in a reading. Most failures are over by the next attempt; a reading without a value never succeeds."""
    reading = message.json()
    if reading["value"] is None:
        raise Reject(f"the {reading['sensor']} sensor in the {reading['room']} sent no value")
    time.sleep(_WORK_SECONDS)
    if _rng.random() < _FAILING_SHARE:
        raise ConnectionError("the database of readings did not answer (simulated)")
