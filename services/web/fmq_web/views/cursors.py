"""Opaque cursors: where the next step of a list starts."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from http import HTTPStatus

from fmq.errors import QueueError
from fmq_web.http.problems import Problem

_SUM_BYTES = 8


def cursor(place: str, *query: object) -> str:
    """A cursor for ``place`` in the list that ``query`` (values that JSON knows) describes."""
    return urlsafe_b64encode(_sum(place, query) + place.encode()).rstrip(b"=").decode("ascii")


def place(text: str, *query: object) -> str:
    """The place that a cursor was made for. Raises Problem 422 if it was not made by ``cursor`` for this query.

    The check guards against mistakes. It is not secret: a cursor made by hand shows no more than others.
    """
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        found = data[_SUM_BYTES:].decode()
    except (Error, ValueError):
        raise refused() from None
    if cursor(found, *query) != text:
        raise refused()
    return found


@contextmanager
def located() -> Iterator[None]:
    """For asking a store with a place. Raises Problem 422 if the store does not take it."""
    try:
        yield
    except (ValueError, OverflowError):
        raise refused() from None
    except QueueError as error:
        if type(error) is QueueError:  # its subclasses say what is wrong with the store
            raise refused() from None
        raise


def refused() -> Problem:
    """The cursor is not of this list."""
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Invalid before: expected the cursor of an earlier answer to the same query. Start again without it.",
    )


def _sum(place: str, query: tuple[object, ...]) -> bytes:
    return blake2b(json.dumps([place, *query]).encode(), digest_size=_SUM_BYTES).digest()
