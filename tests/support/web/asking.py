"""Asks an ASGI application in this process, with any headers that a client could send."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.types import ASGIApp, Message

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer: headers in lower case, in their order."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The header's one value; None if there is none. Fails if there are several."""
        values = [value for one, value in self.headers if one == name.lower()]
        assert len(values) < 2, f"{name} is there {len(values)} times"
        return values[0] if values else None

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:  # noqa: ANN401 - as json has it
        return json.loads(self.body)


def ask(
    app: ASGIApp,
    method: str,
    path: str,
    headers: Headers = (),
    body: bytes | Iterable[bytes] = b"",
    *,
    client: str = "127.0.0.1",
    server: tuple[str, int] = ("127.0.0.1", 9466),
    scheme: str = "http",
    host: str | None = "localhost:9466",
) -> Answered:
    """One request. ``path`` may have a query. ``host`` None leaves the header to ``headers``."""
    return asyncio.run(_ask(app, method, path, headers, body, client, server, scheme, host))


async def _ask(
    app: ASGIApp,
    method: str,
    path: str,
    headers: Headers,
    body: bytes | Iterable[bytes],
    client: str,
    server: tuple[str, int],
    scheme: str,
    host: str | None,
) -> Answered:
    plain_path, _, query = path.partition("?")
    parts = [body] if isinstance(body, bytes) else list(body)
    given = [*((("Host", host),) if host is not None else ()), *headers]
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": plain_path,
        "raw_path": quote(plain_path).encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given],
        "client": (client, 50_000),
        "server": server,
        "state": {},
    }
    gone = asyncio.Event()

    async def receive() -> Message:
        if parts:
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}
        await gone.wait()
        return {"type": "http.disconnect"}

    status, found, chunks = 0, list[tuple[str, str]](), list[bytes]()

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            assert not status, "there was an answer already"
            status = message["status"]
            found.extend((name.decode(), value.decode("latin-1")) for name, value in message["headers"])
        else:
            chunks.append(message.get("body", b""))

    await app(scope, receive, send)
    return Answered(status, [(name.lower(), value) for name, value in found], b"".join(chunks))


def form(**fields: str) -> bytes:
    """An urlencoded body."""
    return urlencode(fields).encode()


FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")
