"""What a user reads about queues that are delivered in order, whatever the backend."""

from fmq.errors import QueueError, WrongOrder

_CALLED = {True: "in order", False: "without order"}
_SETTING = {True: "true", False: "false"}
_WORD = {True: "on", False: "off"}


def wrong_order(name: str, *, ordered: bool) -> WrongOrder:
    """The error of a claim of the one kind that finds a queue of the other."""
    return WrongOrder(
        f"The queue {name!r} is delivered {_CALLED[not ordered]}, and this processor has FMQ_ORDERED={_SETTING[ordered]}. "
        f"Set FMQ_ORDERED={_SETTING[not ordered]}, or stop the processors of the queue and change it: "
        f"fmq order {name!r} {_WORD[ordered]}"
    )


def still_held(name: str, count: int) -> QueueError:
    """The error of a change of order while messages are lent."""
    return QueueError(
        f"Processors hold {count} messages of {name!r}: stop them, and try again when these are settled or their "
        "leases have ended"
    )
