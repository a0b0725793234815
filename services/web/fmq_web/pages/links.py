"""Links within the page."""

from functools import lru_cache
from urllib.parse import quote

_SHORT = 200


def url(path: str, **query: str | float | None) -> str:
    """A path of this page with a query. Parameters that are None are left out."""
    given = "&".join([f"{name}={_quoted(str(value))}" for name, value in query.items() if value is not None])
    return f"{path}?{given}" if given else path


def _quoted(value: str) -> str:
    return _quoted_before(value) if len(value) <= _SHORT else quote(value, errors="replace", safe="")


@lru_cache(maxsize=1_000)
def _quoted_before(value: str) -> str:
    """A page of many queues has several links with each name."""
    return quote(value, errors="replace", safe="")
