"""The whole web page on a store in PostgreSQL: what a browser and a caller of the API read and do."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fmq_web.access.tokens import show_digest
from fmq_web.api.endpoints import ENDPOINTS
from fmq_web.assembly import Web
from fmq_web.pages.routes import PAGES
from fmq_web.settings import WebSettings
from support.backends import PostgresUnderTest
from support.wait import wait_for
from support.web.api import Api
from support.web.filled import EMPTY, QUEUE, fill
from support.web.live import Follower

pytestmark = pytest.mark.postgres

_TOKEN = "fmq_operate"  # noqa: S105 - of this test alone
_OF_QUEUE: dict[str, object] = {"queue": QUEUE}
_QUERIES: dict[str, dict[str, object]] = {
    "queue": {"name": QUEUE},
    "history": {"queue": QUEUE, "hours": 24},
    "messages": _OF_QUEUE,
    "dead/groups": _OF_QUEUE,
    "dead/export": _OF_QUEUE,
    "messages/{id}": _OF_QUEUE,
    "messages/{id}/payload": _OF_QUEUE,
    "messages/{id}/payload/download": _OF_QUEUE,
}
"""What each endpoint asks for."""
_APART = ("stream", "operations/{id}")
_PAGES: dict[str, dict[str, object]] = {
    "/queue": {"name": QUEUE},
    "/messages": _OF_QUEUE,
    "/message": _OF_QUEUE,
    "/dead": _OF_QUEUE,
    "/runbook": {"name": "FmqDeadLetters"},
}


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Web, Api]]:
    """Assembled as the service does it, and a caller with the role operate."""
    filled = fill(tmp_path, PostgresUnderTest(tmp_path))
    for _ in range(2):
        filled.clock.advance(60)
        filled.store.note_minute()
    users = tmp_path / "users"
    users.write_text(f"token:operate:{show_digest(_TOKEN)}\n")
    users.chmod(0o600)
    settings = WebSettings(queue_url=filled.backend.url, web_users_file=str(users), web_show_payloads=True)
    with filled.store, ExitStack() as stack:
        made = Web(settings, filled.clock, CollectorRegistry(), stack)
        yield made, Api(made.app, made.site, filled, {"Authorization": f"Bearer {_TOKEN}"})


@pytest.fixture
def api(web: tuple[Web, Api]) -> Api:
    return web[1]


def test_every_endpoint(api: Api) -> None:
    """All that reads answers, although the sizes of the server's log and disk are unknown."""
    paths = [one.path.removeprefix("/api/v1/") for one in ENDPOINTS if one.method == "GET"]
    answers = {
        path: api.get(path.format(id=api.filled.ids["dead1"]), **_QUERIES.get(path, {}))
        for path in paths
        if path not in _APART
    }
    assert {path: one.status for path, one in answers.items() if one.status != 200} == {}
    overview = answers["overview"].json
    assert [one["name"] for one in overview["queues"]] == [QUEUE, EMPTY]
    assert overview["sizes"]["log_bytes"] is None
    assert overview["sizes"]["free_disk_bytes"] is None
    assert len(answers["messages"].json["messages"]) == len(api.filled.ids)
    assert len(answers["history"].json["points"]) == 1
    assert len(answers["dead/groups"].json["groups"]) == 2
    assert len(answers["dead/export"].body.splitlines()) == 3
    assert answers["messages/{id}/payload/download"].body == b'{"from": "dead1"}'
    assert [one["what"] for one in answers["messages/{id}"].json["life"]] == ["received", "tried", "dead"]


def test_every_page(api: Api) -> None:
    """As a browser reads it."""
    numbers: dict[str, dict[str, object]] = {"/message": {"id": str(api.filled.ids["dead1"])}}
    for page in PAGES:
        if page.method == "GET":
            query = _PAGES.get(page.path, {}) | numbers.get(page.path, {})
            answer = api.ask("GET", page.path, query=query, base="")
            assert answer.status == 200, page.path
            assert b"<h1" in answer.body


def test_pause_and_resume(api: Api) -> None:
    for what, paused in (("pause", True), ("resume", False)):
        body = {"queue": QUEUE} | ({"reason": "stop"} if paused else {})
        assert api.post(f"queue/{what}", body).status == 200
        assert (api.get("queue", name=QUEUE).json["counts"]["paused"] is not None) == paused
        assert (api.filled.store.paused(QUEUE) is not None) == paused
    kinds = [one["kind"] for one in api.get("activity").json["actions"]]
    assert kinds == ["resume", "pause"]


@pytest.mark.parametrize(("kind", "left"), [("requeue", 1), ("purge", 1)])
def test_operations(api: Api, kind: str, left: int) -> None:
    """A dry run counts, and the operation changes what it counted."""
    dry = api.post("operations/dry-run", {"kind": kind, "queue": QUEUE, "selection": {"reason": "no route"}}).json
    assert dry["count"] == 2
    started = api.post("operations", {"token": dry["token"], "rate": 1_000}).json
    ended = wait_for(lambda: _ended(api, started["id"]))
    assert (ended["state"], ended["changed"]) == ("done", 2)
    stats = api.filled.store.stats(QUEUE)
    assert stats.dead == left
    assert len(api.filled.backend.ids(QUEUE)) == len(api.filled.ids) - (2 if kind == "purge" else 0)
    assert api.filled.backend.full_count()[QUEUE] == (stats.pending, stats.claimed, stats.done, stats.dead)


def _ended(api: Api, operation: str) -> dict[str, object]:
    said: dict[str, object] = api.get(f"operations/{operation}").json
    return {} if said["state"] == "running" else said


def test_live(web: tuple[Web, Api]) -> None:
    """The first event of a stream is the state of the store."""
    page = Follower()

    async def follow() -> None:
        async with aclosing(aiter(web[0].site.sampler.subscribe(None))) as chunks:  # type: ignore[type-var]
            while not page.names:
                page.take(await anext(chunks))

    asyncio.run(asyncio.wait_for(follow(), 30))
    assert page.names == ["state"]
    assert page.queues[QUEUE]["dead"] == 3
    assert page.whole["sizes"]["free_disk_bytes"] is None
    assert set(page.services) == {"listener a/1", "processor a/2"}
