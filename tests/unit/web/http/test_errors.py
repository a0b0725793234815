"""Errors of the store and of handlers, as the API and as pages show them; live streams."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmq.store.backends import open_store
from fmq_web.access.sessions import IDLE_SECONDS
from fmq_web.access.tokens import show_digest
from fmq_web.http.lasting import MOST_STREAMS
from support.web.asking import ask
from support.web.tested_page import PASSWORD, TestedPage, page_of, quick_hash


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestedPage]:
    with page_of(tmp_path_factory.mktemp("page")) as made:
        yield made


@pytest.mark.parametrize(
    ("kind", "status", "template", "detail"),
    [
        ("unknown", 404, "404.html", "The queue q does not exist."),
        ("unavailable", 503, "store_unreadable.html", "The disk is full."),
        ("refused", 503, "store_unreadable.html", "It is not an fmq database."),
        ("damaged", 503, "store_unreadable.html", "It is damaged."),
        ("queue", 409, "error.html", "Messages are lent."),
        ("conflict", 409, "error.html", "It runs already."),
        ("bug", 500, "error.html", "An error in fmq. Its log says where."),
    ],
)
def test_errors(page: TestedPage, kind: str, status: int, template: str, detail: str) -> None:
    """The same status and detail in both."""
    problem, shown = ask(page.app, "GET", f"/api/v1/fail/{kind}"), ask(page.app, "GET", f"/fail/{kind}")
    assert (problem.status, problem.json["detail"]) == (status, detail)
    assert problem.header("content-type") == "application/problem+json"
    assert shown.status == status
    assert shown.header("content-type") == "text/html; charset=utf-8"
    assert template in shown.text
    assert detail.replace("'", "&#x27;") in shown.text
    assert (problem.header("retry-after") is not None) == (status == 503)


@pytest.mark.parametrize("is_empty_file", [False, True])
def test_a_store_that_comes_later(tmp_path: Path, *, is_empty_file: bool) -> None:
    """The page starts without it, says so, makes none, and works as soon as there is one."""
    if is_empty_file:
        (tmp_path / "q.db").touch()
    with page_of(tmp_path, store=False) as page:
        assert ask(page.app, "GET", "/api/v1/echo").status == 503
        assert ask(page.app, "GET", "/api/v1/open").status == 503
        assert "The store does not exist" in ask(page.app, "GET", "/names").text
        assert [one.stat().st_size for one in tmp_path.iterdir()] == [0] * is_empty_file
        with open_store(f"sqlite:///{tmp_path}/q.db", clock=page.clock) as store:
            store.declare("sensors/#")
        assert "sensors/#" in ask(page.app, "GET", "/names").text


def test_live_streams_are_bounded(page: TestedPage) -> None:
    """The one that is too many gets 503 with a time to come back; each end makes room."""

    async def many() -> list[int]:
        statuses: list[int] = []
        full, leave = asyncio.Event(), asyncio.Event()

        async def open_one() -> None:
            async def receive() -> dict[str, object]:
                await leave.wait()
                return {"type": "http.disconnect"}

            async def send(message: dict[str, object]) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(int(str(message["status"])))
                    if len(statuses) == MOST_STREAMS + 2:
                        full.set()
                if message.get("body"):
                    await full.wait()

            scope = {
                "type": "http",
                "asgi": {"version": "3.0", "spec_version": "2.3"},
                "method": "GET",
                "scheme": "http",
                "path": "/api/v1/stream",
                "raw_path": b"/api/v1/stream",
                "root_path": "",
                "query_string": b"",
                "headers": [(b"host", b"localhost")],
                "client": ("127.0.0.1", 1),
                "server": ("127.0.0.1", 9466),
            }
            await page.app(scope, receive, send)  # type: ignore[arg-type]

        await asyncio.gather(*(open_one() for _ in range(MOST_STREAMS + 2)))
        return statuses

    statuses = asyncio.run(many())
    assert sorted(statuses) == [200] * MOST_STREAMS + [503] * 2
    assert page.registry.get_sample_value("fmq_web_streams") == 0
    again = ask(page.app, "GET", "/api/v1/stream")
    assert (again.status, again.text) == (200, "event: state\n\nevent: bye\n\n")
    assert ask(page.app, "HEAD", "/api/v1/stream").status == 405
    seconds = page.registry.get_sample_value("fmq_web_request_seconds_count", {"route": "/api/v1/stream"})
    assert seconds == 3, "how long a stream lasts says nothing of speed; the refused ones count"


@pytest.mark.parametrize("how", ["token", "session", "idle session"])
def test_a_stream_ends_with_the_right_to_it(tmp_path: Path, how: str) -> None:
    """Within 5 s of the end of its token, its user or its session; a stream does not count as use of a session."""
    users = tmp_path / "users"
    users.write_text(f"anna:read:{quick_hash(PASSWORD)}\nreader:read:{show_digest('r')}\n")
    with page_of(tmp_path, web_users_file=str(users)) as page:
        credentials = ("Authorization", "Bearer r") if how == "token" else page.cookie("anna")
        seconds = IDLE_SECONDS / 100 if how == "idle session" else 1.0

        def on_tick(number: int) -> None:
            page.clock.advance(seconds)
            if number == 20 and how != "idle session":
                users.write_text("# all gone")
            assert number < 200, "the stream has not ended"

        page.sampler.on_tick = on_tick
        answer = ask(page.app, "GET", "/api/v1/endless", [credentials])
        assert answer.status == 200
        ticks = answer.text.count("tick")
        assert ticks == 99 if how == "idle session" else 20 <= ticks <= 26
        assert ask(page.app, "GET", "/api/v1/echo", [credentials]).status == 401
        assert page.registry.get_sample_value("fmq_web_streams") == 0
