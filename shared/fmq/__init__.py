"""fmq: a durable buffer between an MQTT broker and slow or unreliable handlers.

What a handler's author needs is here; everything else is imported from the
module that defines it.
"""

from fmq.message import Message, Properties
from fmq.outcome import Cause, Dead, Done, Outcome, Reject, Retry, RetryLater, Unavailable, batch_handler

__version__ = "0.2.0"

__all__ = [
    "Cause",
    "Dead",
    "Done",
    "Message",
    "Outcome",
    "Properties",
    "Reject",
    "Retry",
    "RetryLater",
    "Unavailable",
    "__version__",
    "batch_handler",
]
