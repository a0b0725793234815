"""Turns results and errors into responses."""

import json
import logging
import traceback
from collections.abc import Callable
from http import HTTPStatus

from starlette.responses import HTMLResponse, PlainTextResponse, Response

from fmq.errors import NoStore, QueueError, StoreRefused, StoreUnavailable, UnknownQueue
from fmq_web.http.peer.caller import Caller
from fmq_web.http.problems import Problem
from fmq_web.http.route import Shown

_log = logging.getLogger(__name__)
Render = Callable[[Shown, Caller | None, str], str]
"""Makes HTML of a template, for a caller, with what the last action said."""
_STORE_TEMPLATE = "store_unreadable.html"
_TEMPLATES = {HTTPStatus.FORBIDDEN: "403.html", HTTPStatus.NOT_FOUND: "404.html"}
API = "/api/"
_RETRY_SECONDS = "5"
_TITLES = {
    HTTPStatus.UNPROCESSABLE_ENTITY: "Invalid parameters",
    HTTPStatus.FORBIDDEN: "Not allowed",
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong",
}


class StoreProblem(Problem):
    """The store can't be read or written, or does not exist."""

    def __init__(self, error: QueueError) -> None:
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers={"Retry-After": _RETRY_SECONDS})
        self.title = "The store does not exist" if isinstance(error, NoStore) else "The store can't be read"


def as_problem(error: Exception, where: str) -> Problem:
    """What the caller learns of ``error``. An unexpected one is logged; neither the caller nor the log gets its text.

    Its text may hold contents of messages.
    """
    match error:
        case Problem():
            return error
        case UnknownQueue():
            return Problem(HTTPStatus.NOT_FOUND, str(error))
        case StoreUnavailable() | StoreRefused():
            return StoreProblem(error)
        case QueueError():
            return Problem(HTTPStatus.CONFLICT, str(error))
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    stack = "".join(traceback.format_list(frames))
    _log.error("%s failed: %s%s", where, type(error).__name__, at, extra={"stack": stack})
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "An error in fmq. Its log says where.")


def show_problem(problem: Problem, path: str, render: Render, caller: Caller | None) -> Response:
    """application/problem+json (RFC 9457) for the API, else a page."""
    if path.startswith(API):
        body = {
            "type": "about:blank",
            "title": problem.status.phrase,
            "status": problem.status.value,
            "detail": problem.detail,
        }
        return Response(json.dumps(body), problem.status, problem.headers, "application/problem+json")
    template = _TEMPLATES.get(problem.status, "error.html")
    title = _TITLES.get(problem.status, problem.status.phrase)
    if isinstance(problem, StoreProblem):
        template, title = _STORE_TEMPLATE, problem.title
    values = {"status": problem.status.value, "title": title, "detail": problem.detail}
    try:
        text = render(Shown(template, values, problem.status), caller, "")
    except Exception as error:  # noqa: BLE001 - an error page must always come
        _log.error("The error page failed: %s", type(error).__name__)
        return PlainTextResponse(f"{title}. {problem.detail}\n", problem.status, problem.headers)
    return HTMLResponse(text, problem.status, problem.headers)
