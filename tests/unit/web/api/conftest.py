"""The API over a store that has something of everything, as callers reach it."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fmq_web.access.door import Door
from fmq_web.access.tokens import show_digest
from fmq_web.api.endpoints import ENDPOINTS
from fmq_web.http.dispatch import make_app
from fmq_web.http.metrics import WebMetrics
from fmq_web.live.sampler import Sampler
from fmq_web.operations.publisher import Publisher
from fmq_web.operations.runner import Runner
from fmq_web.settings import WebSettings
from fmq_web.site import Site
from fmq_web.stores import Stores
from support.web.api import Api
from support.web.filled import Filled, fill

TOKENS = {"operate": "fmq_operate", "read": "fmq_read"}


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    made = fill(tmp_path)
    made.clock.advance(1)  # what has just died is not selected until then
    yield made
    made.store.close()


@pytest.fixture
def show_payloads() -> bool:
    return True


@pytest.fixture
def publisher() -> Publisher | None:
    return None


@pytest.fixture
def api(filled: Filled, tmp_path: Path, publisher: Publisher | None, *, show_payloads: bool) -> Iterator[Api]:
    """A caller with the role operate."""
    users = tmp_path / "users"
    users.write_text("".join(f"{role}-token:{role}:{show_digest(one)}\n" for role, one in TOKENS.items()))
    users.chmod(0o600)
    settings = WebSettings(web_users_file=str(users), web_show_payloads=show_payloads)
    with ExitStack() as stack:
        stores = Stores(filled.backend.open)
        stack.callback(stores.close)
        runner = Runner(stores, filled.clock)
        stack.callback(runner.close)
        sampler = Sampler(stores, filled.clock, runner)
        stack.callback(sampler.close)
        site = Site(settings, filled.clock, stores, runner, sampler, publisher)
        door = Door(settings, filled.clock)
        stack.callback(door.close)
        app = make_app(
            site,
            ENDPOINTS,
            (),
            lambda _shown, _caller, _said: "",
            door=door,
            find_asset=lambda _version, _name: None,
            metrics=WebMetrics(CollectorRegistry()),
        )
        yield Api(app, site, filled, {"Authorization": f"Bearer {TOKENS['operate']}"})
