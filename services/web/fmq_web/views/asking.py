"""Turns a store's refusals into problems that a caller understands."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from fmq.errors import UnknownQueue
from fmq.service.log import shorten
from fmq.store.selection import Selection, State
from fmq_web.http.problems import Problem, not_found

_LONGEST_NAME = 200


@contextmanager
def about(name: str) -> Iterator[None]:
    """For everything that is asked about the queue ``name``. Raises Problem 404 if there is none."""
    try:
        name.encode()  # a store could not even ask for it
        yield
    except (UnknownQueue, UnicodeEncodeError):
        raise not_found(f"The queue {shorten(name, _LONGEST_NAME)!r} does not exist.") from None


def selection(
    state: State,
    *,
    topic: str | None = None,
    reason: str | None = None,
    since: float | None = None,
    until: float | None = None,
    group: str | None = None,
) -> Selection:
    """A Selection. Raises Problem 422 if ``topic`` is not a topic filter."""
    try:
        return Selection(state, topic or None, reason or None, since, until, group)
    except ValueError as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"Invalid topic filter: {error}.") from None


def require_contents(*, shown: bool) -> None:
    """Raise Problem 403 if the contents of messages are hidden."""
    if not shown:
        raise Problem(HTTPStatus.FORBIDDEN, "The contents of messages are hidden here (FMQ_WEB_SHOW_PAYLOADS=false).")
