"""Answers requests to the routes of the tables."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from fmq.text import plain
from fmq_web.answers.base import Answer
from fmq_web.http.answering import Render, as_problem, show_problem
from fmq_web.http.guard import STREAM, name_route
from fmq_web.http.lasting import DOWNLOADS, MOST_DOWNLOADS, MOST_STREAMS, Lasting, Places, Right
from fmq_web.http.metrics import WebMetrics
from fmq_web.http.notices import Notices
from fmq_web.http.parameters import FORM, JSON, read_body, read_query
from fmq_web.http.peer.caller import Caller, Role
from fmq_web.http.peer.callers import Callers
from fmq_web.http.peer.origin import comes_by_link
from fmq_web.http.places import SIGN_IN, is_local, local, sign_in_for
from fmq_web.http.problems import Problem
from fmq_web.http.route import Call, Endpoint, NoParameters, Parameters, PlainPage, Redirect, Shown
from fmq_web.http.route import Page as PageRoute
from fmq_web.site import Site

_log = logging.getLogger(__name__)
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="fmq"'}
_SHOWN = 200
_AGAIN = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>fmq</title>
<meta http-equiv="refresh" content="0; url={0}">
<p><a href="{0}">Go on</a></p>
</html>
"""
"""Asks for the same page again, now from this site: after a link on another one, browsers leave out cookies with SameSite=Strict."""
AnyRoute = Endpoint | PageRoute | PlainPage
PlainHandler = Callable[[Request], Awaitable[Response]]


@dataclass(slots=True)
class Desk:
    """What all routes share."""

    site: Site
    callers: Callers
    render: Render
    metrics: WebMetrics
    notices: Notices = field(default_factory=Notices)
    streams: Places = field(init=False)
    downloads: Places = field(init=False)

    def __post_init__(self) -> None:
        self.streams = Places(MOST_STREAMS, "live streams", self.metrics.streams.set)
        self.downloads = Places(MOST_DOWNLOADS, "downloads")

    def show(self, request: Request, problem: Problem) -> Response:
        """The answer with a problem, for a program or for a person."""
        caller: Caller | None = None
        with suppress(Problem):
            caller = self.callers.find(request)
        return show_problem(problem, request.url.path, self.render, caller)


class ByMethod:
    """One path: picks the handler by the method. GET answers HEAD as well, without a body."""

    def __init__(self, desk: Desk, path: str, handlers: Mapping[str, PlainHandler]) -> None:
        self._desk = desk
        self._path = path
        self._handlers = handlers
        heads = ("HEAD",) if "GET" in handlers else ()
        self._allow = {"Allow": ", ".join((*handlers, *heads))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name_route(scope, self._path)
        request = Request(scope, receive)
        is_head = request.method == "HEAD"
        handler = self._handlers.get("GET" if is_head else request.method)
        response: Response
        if handler is None:
            detail = f"Only {self._allow['Allow']} work here."
            problem = Problem(HTTPStatus.METHOD_NOT_ALLOWED, detail, headers=self._allow)
            response = self._desk.show(request, problem)
        else:
            try:
                response = await handler(request)
            except Exception as error:  # noqa: BLE001 - as_problem logs it
                response = self._desk.show(request, as_problem(error, f"{request.method} {self._path}"))
        if is_head:
            await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
            await send({"type": "http.response.body"})
        else:
            await response(scope, receive, send)


class Served:
    """The handler of one route of the tables."""

    def __init__(self, desk: Desk, route: AnyRoute) -> None:
        self._desk = desk
        self._route = route
        self._is_page = not isinstance(route, Endpoint)
        self._is_stream = isinstance(route, Endpoint) and route.media == STREAM
        self._is_download = isinstance(route, Endpoint) and route.media in DOWNLOADS

    async def __call__(self, request: Request) -> Response:
        route = self._route
        caller = self._desk.callers.find(request)
        if not (caller or _NOBODY).role.includes(route.role):
            return self._refuse(request, caller)
        if self._is_download and request.method == "GET":
            return Lasting(self._desk.downloads, lambda: self._answer(request, caller))
        if not self._is_stream:
            return await self._answer(request, caller)
        if request.method == "HEAD":
            raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET works here.", headers={"Allow": "GET"})
        may = Right(lambda: self._still_may(request), self._desk.site.clock)
        return Lasting(self._desk.streams, lambda: self._answer(request, caller), may)

    def _still_may(self, request: Request) -> bool:
        """Whether the caller may still have the stream: a token or a user may be gone, a session may have ended."""
        try:
            caller = self._desk.callers.find(request, seen=False)
        except Problem:
            return False
        return (caller or _NOBODY).role.includes(self._route.role)

    def _refuse(self, request: Request, caller: Caller | None) -> Response:
        if caller is not None and caller.how != "anonymous":
            raise Problem(HTTPStatus.FORBIDDEN, f"This needs the role {self._route.role}; yours is {caller.role}.")
        if self._is_page:
            if self._route.method != "GET":
                return RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER)
            here = _path_of(request)
            if caller is None and comes_by_link(request.headers):
                return HTMLResponse(_AGAIN.format(escape(local(here))))
            return RedirectResponse(sign_in_for(here), HTTPStatus.SEE_OTHER)
        raise Problem(HTTPStatus.UNAUTHORIZED, "Sign in, or send a token.", headers=_CHALLENGE)

    async def _answer(self, request: Request, caller: Caller | None) -> Response:
        route = self._route
        query = read_query(request, route.query, is_page=self._is_page)
        body: Parameters = NoParameters()
        if route.method != "GET":
            body = await read_body(request, route.body, FORM if self._is_page else JSON) or body
        by = caller or Caller("", Role.ANYONE, "anonymous", self._desk.callers.proxies.peer(request).address)
        call = Call(by, self._desk.site, request.path_params, query, body)
        try:
            response = await asyncio.wrap_future(self._submit(call, caller))
        except Exception as error:  # noqa: BLE001 - as_problem logs it
            problem = as_problem(error, f"{route.method} {route.path}")
            self._note(call, problem.status)
            raise problem from None
        self._note(call, response.status_code)
        return response

    def _submit(self, call: Call, caller: Caller | None) -> Future[Response]:
        """Run it in a worker thread, since templates take time too."""
        route, stores = self._route, self._desk.site.stores
        if isinstance(route, PlainPage):
            return stores.submit_alone(lambda: self._respond(route.show(call), call, caller))
        submit = stores.submit if route.method == "GET" else stores.submit_change
        return submit(lambda store: self._respond(route.handle(call, store), call, caller))

    def _respond(self, result: Answer | Shown | Redirect | Response, call: Call, caller: Caller | None) -> Response:
        match result:
            case Response():
                return result
            case Answer():
                return Response(result.model_dump_json(), media_type=JSON)
            case Redirect():
                if not is_local(result.path):
                    raise ValueError("a page redirects to another site")
                self._desk.notices.put(call.caller, result.said)
                return RedirectResponse(local(result.path), HTTPStatus.SEE_OTHER)
            case Shown():
                said = self._desk.notices.take(call.caller) if result.status == HTTPStatus.OK else ""
                return HTMLResponse(self._desk.render(result, caller, said), result.status)

    def _note(self, call: Call, status: int) -> None:
        """One log line for each action."""
        if self._route.method == "GET":
            return
        given = {**call.query.model_dump(), **call.body.model_dump()}
        queue = given.get("queue") or given.get("name")
        of = f" of {plain(str(queue))[:_SHOWN]}" if queue else ""
        _log.info(
            "%s%s by %s (%s, %s): %d",
            self._route.path,
            of,
            plain(call.caller.name),
            call.caller.how,
            call.caller.address,
            status,
            extra={
                "actor": call.caller.name,
                "address": call.caller.address,
                "path": self._route.path,
                "status": status,
            },
        )


def _path_of(request: Request) -> str:
    query = request.url.query
    return f"{request.url.path}{'?' if query else ''}{query}"


_NOBODY = Caller("", Role.ANYONE, "anonymous", "")
