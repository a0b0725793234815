"""Downloads: a payload as it is, and dead letters as JSON lines. Both in pieces, so that memory is bounded."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from starlette.responses import Response, StreamingResponse

from fmq.store.roles import Store
from fmq.store.selection import State
from fmq_web.api import parameters as given
from fmq_web.api.letters import letters
from fmq_web.http.route import Call
from fmq_web.http.taking import taken
from fmq_web.stores import Stores
from fmq_web.views.asking import about, require_contents
from fmq_web.views.message import detail
from fmq_web.views.payload import piece, pieces


def download(call: Call, store: Store) -> Response:
    """A payload."""
    require_contents(shown=call.site.settings.web_show_payloads)
    name, number = taken(call.query, given.OneQueue).queue, call.path["id"]
    size = detail(store, name, number, head_bytes=0).head.size
    headers = {**_headers("payload.bin"), "Content-Length": str(size)}
    return StreamingResponse(
        _payload(call.site.stores, name, number, size), HTTPStatus.OK, headers, "application/octet-stream"
    )


def export(call: Call, store: Store) -> Response:
    """Dead letters, oldest first: those that are selected now, a line each."""
    require_contents(shown=call.site.settings.web_show_payloads)
    asked = taken(call.query, given.ExportQuery)
    now = call.site.clock.wall()
    which = asked.which(State.DEAD)
    which = replace(which, until=now if which.until is None else min(which.until, now))
    with about(asked.queue):
        store.stats(asked.queue)
    lines = letters(call.site.stores, asked.queue, which)
    return StreamingResponse(lines, HTTPStatus.OK, _headers("dead-letters.jsonl"), "application/jsonl")


def _headers(filename: str) -> dict[str, str]:
    """A browser saves it under a name of ours. Even if a browser showed it, it could run no script."""
    return {
        "Content-Disposition": f'attachment; filename="{filename}"',
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }


async def _payload(stores: Stores, name: str, number: str, size: int) -> AsyncIterator[bytes]:
    """Each piece is a call of its own, so that a slow reader keeps no thread and no transaction.

    If the message is deleted meanwhile, Problem 404 ends the answer early: the client sees fewer bytes than Content-Length says.
    """
    for offset, length in pieces(size):
        yield await asyncio.wrap_future(
            stores.submit(partial(piece, name=name, message_id=number, offset=offset, length=length))
        )
