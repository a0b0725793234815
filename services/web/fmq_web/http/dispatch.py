"""Makes the application from the tables of endpoints and pages."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fmq_web.access.door import Door
from fmq_web.http.answering import Render
from fmq_web.http.assets import PATH as ASSETS
from fmq_web.http.assets import FindAsset, show_asset
from fmq_web.http.guard import Guard
from fmq_web.http.metrics import WebMetrics
from fmq_web.http.peer.callers import Callers
from fmq_web.http.peer.hosts import Hosts
from fmq_web.http.peer.proxies import Proxies
from fmq_web.http.places import SIGN_IN, SIGN_OUT
from fmq_web.http.problems import Problem, not_found
from fmq_web.http.route import Endpoint, Page, PlainPage
from fmq_web.http.serving import ByMethod, Desk, PlainHandler, Served
from fmq_web.http.sign_in import SignIn
from fmq_web.site import Site


def make_app(
    site: Site,
    endpoints: Sequence[Endpoint],
    pages: Sequence[Page | PlainPage],
    render: Render,
    *,
    door: Door,
    find_asset: FindAsset,
    metrics: WebMetrics,
) -> Starlette:
    """The application. In addition to the tables it has /sign-in, /sign-out and /assets/.

    ``render`` makes HTML of a template, for a caller, with what the last action said. Besides the templates of pages it gets
    ``sign_in.html`` (``problem``, ``user``, ``next``: text or empty) and, for errors, ``403.html``, ``404.html``,
    ``store_unreadable.html`` and ``error.html`` (``status``, ``title``, ``detail``).

    A caller who has not signed in gets 401 from the API, and is led to the sign-in page elsewhere. An endpoint whose ``media``
    is text/event-stream is a live stream; at most MOST_STREAMS are open at once. Raises ValueError if two routes are the same.
    """
    desk = Desk(site, Callers(door, Proxies(site.settings.web_trusted_proxies)), render, metrics)
    sign_in = SignIn(desk, door)

    async def asset(request: Request) -> Response:
        found = find_asset(request.path_params["version"], request.path_params["name"])
        if found is None:
            raise not_found("This file does not exist.")
        return show_asset(found)

    async def no_route(request: Request, error: Exception) -> Response:
        status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
        return desk.show(request, Problem(status, "This page does not exist."))

    handlers: dict[str, dict[str, PlainHandler]] = {
        SIGN_IN: {"GET": sign_in.show, "POST": sign_in.sign_in},
        SIGN_OUT: {"POST": sign_in.sign_out},
        ASSETS: {"GET": asset},
    }
    table: list[Endpoint | Page | PlainPage] = [*endpoints, *pages]
    for route in table:
        methods = handlers.setdefault(route.path, {})
        if route.method in methods:
            raise ValueError(f"there are two routes for {route.method} {route.path}")
        methods[route.method] = Served(desk, route)
    for path, methods in handlers.items():
        for method in methods:
            metrics.start_at_zero(path, method)
    app = Starlette(
        routes=[_route(desk, path, methods) for path, methods in handlers.items()],
        middleware=[
            Middleware(
                Guard,
                hosts=Hosts(site.settings.web_host, site.settings.web_hosts),
                metrics=metrics,
                clock=site.clock,
                show=desk.show,
            )
        ],
        exception_handlers={HTTPException: no_route},
    )
    app.router.redirect_slashes = False
    return app


def _route(desk: Desk, path: str, handlers: Mapping[str, PlainHandler]) -> Route:
    return Route(path, ByMethod(desk, path, handlers))
