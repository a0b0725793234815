"""A handler of one's own: a function that takes a message.

    fmq process sensor/temperature --handler examples.plain:handle

It runs once a message. Returning False or raising an exception means: try again later.
"""

from fmq import Message, Reject


def handle(message: Message) -> bool | None:
    """Print a reading; bury what is none."""
    try:
        reading = message.json()
        celsius = float(reading["temperature"])
    except (ValueError, KeyError, TypeError) as error:
        raise Reject(f"no reading: {error!r}") from error  # trying again would not help
    print(f"{message.topic}: {celsius:.1f} °C")
    return None
