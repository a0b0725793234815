"""Downloads of large messages: little of them is in memory at once, and what is gone meanwhile ends them early."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable

import pytest

from fmq.message import Incoming
from fmq.message_json import letter_fields
from fmq.store.selection import Selection, State
from fmq_web.api.letters import letters
from fmq_web.http.lasting import MOST_DOWNLOADS
from fmq_web.http.problems import Problem
from support.web.api import Api
from support.web.filled import EMPTY, PROPERTIES

_LARGEST_PIECE = 1024 * 1024
_TEXT = ('"\\\n\x01\N{PILE OF POO}\N{LATIN SMALL LETTER E WITH ACUTE}' * 150_000).encode()


async def _pieces(api: Api, *, delete_after: int | None = None) -> list[bytes]:
    found = []
    async for one in letters(api.site.stores, EMPTY, Selection(State.DEAD)):
        found.append(one)
        if len(found) == delete_after:
            api.filled.store.purge_dead(EMPTY, sorted(api.filled.backend.ids(EMPTY)))
    return found


def _put(api: Api, *payloads: bytes) -> None:
    now = api.filled.clock.wall()
    api.filled.store.put([Incoming(EMPTY, "t", one, now, properties=PROPERTIES, reason="r") for one in payloads])
    api.filled.clock.advance(1)


@pytest.mark.parametrize(
    "payload", [_TEXT, _TEXT[:-1], b"\xff" * 1_500_001, b"x" * 1_500_000], ids=lambda one: repr(one[-3:])
)
def test_a_large_dead_letter(api: Api, payload: bytes) -> None:
    """It comes in pieces, with the same line as a small one, among others."""
    _put(api, b"before", payload, b"after")
    found = asyncio.run(_pieces(api))
    assert max(map(len, found)) < _LARGEST_PIECE
    lines = [json.loads(line) for line in b"".join(found).splitlines()]
    assert lines == [json.loads(json.dumps(letter_fields(one))) for one in api.filled.store.dead_letters(EMPTY)]
    large = lines[1]
    assert payload == (large["payload"].encode() if large["payload"] else base64.b64decode(large["payload_base64"]))


def test_a_dead_letter_that_is_deleted_meanwhile(api: Api) -> None:
    """Its line stays unfinished, and so does the answer."""
    _put(api, _TEXT)
    with pytest.raises(Problem):
        asyncio.run(_pieces(api, delete_after=5))


def test_a_payload_that_is_deleted_meanwhile(api: Api) -> None:
    """The connection ends before the bytes that were promised, and no error of fmq is logged."""
    _put(api, _TEXT)
    [number] = api.filled.backend.ids(EMPTY)
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)
        if len(sent) == 3:
            api.filled.store.purge_dead(EMPTY, [number])

    asyncio.run(_download(api, number, send))
    assert sent[0]["status"] == 200
    assert len(sent) < 10
    assert all(one.get("more_body") for one in sent[1:])


def test_downloads_are_bounded(api: Api) -> None:
    """Readers that take nothing leave connections for everybody else; each end makes room."""
    _put(api, b"x")
    [number] = api.filled.backend.ids(EMPTY)

    async def many() -> list[object]:
        statuses: list[object] = []
        full = asyncio.Event()

        async def send(message: dict[str, object]) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
                if len(statuses) == MOST_DOWNLOADS + 2:
                    full.set()
            await full.wait()

        await asyncio.gather(*(_download(api, number, send) for _ in range(MOST_DOWNLOADS + 2)))
        return statuses

    statuses = asyncio.run(many())
    assert sorted(map(str, statuses)) == ["200"] * MOST_DOWNLOADS + ["503"] * 2
    path = f"messages/{number}/payload/download"
    assert api.get(path, queue=EMPTY).body == b"x"
    head = api.ask("HEAD", path, query={"queue": EMPTY})
    assert (head.status, head.headers["content-length"], head.body) == (200, "1", b"")


async def _download(api: Api, number: int, send: Callable[[dict[str, object]], Awaitable[None]]) -> None:
    async def receive() -> dict[str, object]:
        return await asyncio.Future()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "method": "GET",
        "scheme": "http",
        "path": f"/api/v1/messages/{number}/payload/download",
        "query_string": f"queue={EMPTY}".encode(),
        "headers": [(b"host", b"localhost"), (b"authorization", api.headers["Authorization"].encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 9466),
    }
    await api.app(scope, receive, send)  # type: ignore[arg-type]
