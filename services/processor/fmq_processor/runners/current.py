"""The call that the current thread or task runs, so that a handler's log lines say which message they are about.

A runner sets the place once per thread or task. Who logs asks for the call, so a handler that logs nothing pays nothing.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Protocol

from fmq_processor.job import Job

_MOST_IDS = 20


class Place(Protocol):
    """Where calls run, one after another."""

    @property
    def job(self) -> Job | None:
        """The call that runs there at the moment."""
        ...


PLACE: ContextVar[Place | None] = ContextVar("fmq_place", default=None)
"""Inherited by tasks, by callbacks of the event loop and by ``asyncio.to_thread``, but not by threads of a handler's own."""


def current_fields() -> Mapping[str, object]:
    """The queue and the id of the message that the current thread or task handles, for the log. Empty outside a call.

    For a batch: ``message_ids``, at most 20 of them.
    """
    place = PLACE.get()
    job = None if place is None else place.job
    if job is None:
        return {}
    message = job.claims[0].message
    if not job.is_batch:
        return {"queue": message.queue, "message_id": message.id}
    return {"queue": message.queue, "message_ids": [claim.message.id for claim in job.claims[:_MOST_IDS]]}
