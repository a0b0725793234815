"""Your own handler: a function that takes a message.

    fmq process sensor/temperature --handler examples.plain:handle

It runs once per attempt. If it returns False or raises an exception, the message is retried later.
"""

from fmq import Message, Reject


def handle(message: Message) -> bool | None:
    """Print a reading. Reject anything else."""
    try:
        reading = message.json()
        celsius = float(reading["temperature"])
    except (ValueError, KeyError, TypeError) as error:
        raise Reject(f"no reading: {error!r}") from error  # a retry would not help
    print(f"{message.topic}: {celsius:.1f} °C")
    return None
