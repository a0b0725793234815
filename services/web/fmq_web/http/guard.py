"""What holds for every request, whatever its route: its host, its origin, the headers of its answer, a count."""

from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fmq.clock import Clock
from fmq_web.http.answering import API, as_problem
from fmq_web.http.headers import add_headers
from fmq_web.http.metrics import OTHER, WebMetrics
from fmq_web.http.peer.hosts import Hosts
from fmq_web.http.peer.origin import is_cross_origin, is_foreign_read
from fmq_web.http.problems import Problem

_ROUTE = "fmq.route"
STREAM = "text/event-stream"


def name_route(scope: Scope, path: str) -> None:
    """The request's route is ``path``, as the tables have it."""
    scope[_ROUTE] = path


class Guard:
    """The outermost layer. No exception leaves it: each is answered, or the connection ends within an answer."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Hosts,
        metrics: WebMetrics,
        clock: Clock,
        show: Callable[[Request, Problem], Response],
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._metrics = metrics
        self._clock = clock
        self._show = show

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        begun = self._clock.steady()
        status, is_stream = 0, False

        async def send_on(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                add_headers(headers)
                status, is_stream = message["status"], headers.get("content-type", "").startswith(STREAM)
            await send(message)

        request = Request(scope, receive)
        try:
            refusal = self._refuse(request)
            await (refusal or self._app)(scope, receive, send_on)
        except Exception as error:  # noqa: BLE001 - as_problem logs it
            problem = as_problem(error, f"{scope['method']} {scope.get(_ROUTE, OTHER)}")
            if not status:
                await self._show(request, problem)(scope, receive, send_on)
        finally:
            route = scope.get(_ROUTE, OTHER)
            seconds = None if is_stream else self._clock.steady() - begun
            self._metrics.observe(route, scope["method"], status or 500, seconds)

    def _refuse(self, request: Request) -> Response | None:
        own = (request.scope.get("server") or ("", 0))[0]
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._hosts.allows(hosts[0], own):
            text = "This page is not served under this name. If it should be, add the name to FMQ_WEB_HOSTS."
            problem = Problem(HTTPStatus.MISDIRECTED_REQUEST, text)
            # A page would ask for assets under the same name.
            return self._show(request, problem) if _is_api(request) else PlainTextResponse(f"{text}\n", problem.status)
        if is_cross_origin(request.method, request.headers) or (_is_api(request) and is_foreign_read(request.headers)):
            return self._show(request, Problem(HTTPStatus.FORBIDDEN, "Another site made your browser send this."))
        return None


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(API)
