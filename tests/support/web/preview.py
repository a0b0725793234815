"""Shows every page with made-up answers, on loopback: ``PYTHONPATH=tests python tests/support/web/preview.py PORT``.

It sends the headers of the real page, so that a browser refuses here what it would refuse there.
"""

import sys
from collections.abc import Mapping

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from fmq_web.http.peer.caller import Caller, Role
from fmq_web.http.route import Shown
from fmq_web.pages import assets
from fmq_web.pages.render import render
from support.web.every_page import every_page

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_OPERATOR = Caller(name="jana", role=Role.OPERATE, how="session", address="127.0.0.1", session="s")


def app(pages: Mapping[str, Shown]) -> Starlette:
    """Each page under its name."""

    async def page(request: Request) -> Response:
        name = request.path_params["name"] or "overview"
        shown = pages.get(name)
        if shown is None:
            return Response(status_code=404)
        caller = None if name == "sign-in" else _OPERATOR
        said = "Requeued 12 messages." if request.query_params.get("said") else ""
        return HTMLResponse(render(shown, caller, said), headers={"Content-Security-Policy": POLICY})

    async def asset(request: Request) -> Response:
        found = assets.find(request.path_params["version"], request.path_params["name"])
        return Response(status_code=404) if found is None else Response(found.content, media_type=found.media)

    return Starlette(routes=[Route("/assets/{version}/{name:path}", asset), Route("/{name:path}", page)])


if __name__ == "__main__":
    uvicorn.run(app(every_page()), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
