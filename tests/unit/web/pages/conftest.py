"""The pages over a store that has something of everything, as a browser without scripts reaches them."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from fmq_web.access.door import Door
from fmq_web.access.tokens import show_digest
from fmq_web.http.dispatch import make_app
from fmq_web.http.metrics import WebMetrics
from fmq_web.live.sampler import Sampler
from fmq_web.operations.publisher import Publisher
from fmq_web.operations.runner import Runner
from fmq_web.pages import assets
from fmq_web.pages.render import render
from fmq_web.pages.routes import PAGES
from fmq_web.settings import WebSettings
from fmq_web.site import Site
from fmq_web.stores import Stores
from support.web.filled import Filled, fill

_TOKENS = {"operate": "fmq_operate", "read": "fmq_read"}


@dataclass(slots=True)
class Pages:
    """Asks for pages and sends their forms."""

    app: Starlette
    site: Site
    filled: Filled
    role: str = "operate"

    def get(self, path: str) -> httpx.Response:
        return self._ask("GET", path, {})

    def send(self, page: httpx.Response, action: str, **typed: str | list[str]) -> httpx.Response:
        """Send the first form of a page whose target and fields contain ``action``, and follow its redirect."""
        for target, inside in re.findall(r'<form [^>]*action="([^"]+)"[^>]*>(.*?)</form>', page.text, re.DOTALL):
            if action in unescape(target + inside):
                fields: dict[str, str | list[str]] = {}
                for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', inside):
                    several = [*fields.get("ids", []), unescape(value)]
                    fields[name] = several if name == "ids" else unescape(value)
                answer = self._ask("POST", unescape(target), fields | typed)
                return self.get(answer.headers["location"]) if answer.status_code == httpx.codes.SEE_OTHER else answer
        raise AssertionError(f"no form for {action}")

    def _ask(self, method: str, path: str, form: dict[str, str | list[str]]) -> httpx.Response:
        async def send() -> httpx.Response:
            headers = {"Authorization": f"Bearer {_TOKENS[self.role]}"}
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
                return await client.request(method, path, data=form or None)

        return asyncio.run(send())


@pytest.fixture
def show_payloads() -> bool:
    return True


@pytest.fixture
def publisher() -> Publisher | None:
    return None


@pytest.fixture
def pages(tmp_path: Path, publisher: Publisher | None, *, show_payloads: bool) -> Iterator[Pages]:
    """A caller with the role operate."""
    users = tmp_path / "users"
    users.write_text("".join(f"{role}-token:{role}:{show_digest(one)}\n" for role, one in _TOKENS.items()))
    users.chmod(0o600)
    settings = WebSettings(web_users_file=str(users), web_show_payloads=show_payloads)
    with ExitStack() as stack:
        filled = fill(tmp_path)
        stack.callback(filled.store.close)
        filled.clock.advance(1)  # what has just died is not selected until then
        stores = Stores(filled.backend.open)
        stack.callback(stores.close)
        runner = Runner(stores, filled.clock)
        stack.callback(runner.close)
        sampler = Sampler(stores, filled.clock, runner)
        stack.callback(sampler.close)
        site = Site(settings, filled.clock, stores, runner, sampler, publisher)
        door = Door(settings, filled.clock)
        stack.callback(door.close)
        metrics = WebMetrics(CollectorRegistry())
        app = make_app(site, (), PAGES, render, door=door, find_asset=assets.find, metrics=metrics)
        yield Pages(app, site, filled)
