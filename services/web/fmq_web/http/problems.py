"""What a caller did wrong, as RFC 9457 describes it."""

from collections.abc import Mapping
from http import HTTPStatus


class Problem(Exception):
    """Becomes application/problem+json in the API, and an error page elsewhere."""

    def __init__(self, status: HTTPStatus, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        """``detail`` is a sentence for people. It never has contents of messages in it. ``headers`` go with the answer."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


def not_found(detail: str) -> Problem:
    """What the caller named does not exist (any more)."""
    return Problem(HTTPStatus.NOT_FOUND, detail)


def conflict(detail: str) -> Problem:
    """It can't be done now, or not twice."""
    return Problem(HTTPStatus.CONFLICT, detail)
