"""Asks the web page's API in process."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette

from fmq_web.site import Site
from support.web.filled import Filled


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the API answers
        return json.loads(self.body)


@dataclass(slots=True)
class Api:
    """Asks the application, in a loop of its own for each request."""

    app: Starlette
    site: Site
    filled: Filled
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **query: object) -> Answered:
        return self.ask("GET", path, query=query)

    def post(self, path: str, body: object = None) -> Answered:
        return self.ask("POST", path, body=body)

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, object] | None = None,
        body: object = None,
        base: str = "/api/v1/",
    ) -> Answered:
        async def send() -> Answered:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1", headers=self.headers
            ) as client:
                content = {} if body is None else {"json": body}
                params = {name: str(value) for name, value in (query or {}).items()}
                answer = await client.request(method, f"{base}{path}", params=params, **content)  # type: ignore[arg-type]
                return Answered(answer.status_code, answer.headers, answer.content)

        return asyncio.run(send())
