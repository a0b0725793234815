"""The checks of hostile texts find a page that does not escape: else they would prove nothing."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import uvicorn
from jinja2 import FileSystemLoader
from playwright.sync_api import Browser
from prometheus_client import CollectorRegistry

from browser.conftest import watched_pages
from browser.test_hostile import problems, queue_of
from fmq.clock import SYSTEM_CLOCK
from fmq.message import Incoming
from fmq.service.environment import load
from fmq.store.backends import open_store
from fmq_web import assembly
from fmq_web.http.peer.caller import Caller
from fmq_web.http.route import Shown
from fmq_web.pages import render
from fmq_web.settings import WebSettings
from support.wait import wait_for
from support.web.hostile import TEXTS

_TEMPLATES = Path(render.__file__).with_name("templates")
_ESCAPED, _UNSAFE = "{{ part.text | lines }}", "{{ value | safe }}"
_SEEN = [text for text in TEXTS if not text.startswith("<!--")]  # as a comment it would hide the others


@contextmanager
def served(folder: Path, templates: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The real application in this process, over a store with a hostile name for each text, with these templates."""
    url = f"sqlite:///{folder}/q.db"
    with open_store(url) as store:
        for text in _SEEN:
            store.declare(queue_of(text))
            store.put([Incoming(queue_of(text), text, text.encode(), SYSTEM_CLOCK.wall())])
    environment = render.environment(FileSystemLoader(templates))

    def with_these(shown: Shown, caller: Caller | None, said: str) -> str:
        return render.render_with(environment, shown, caller, said)

    monkeypatch.setattr(assembly, "render", with_these)
    with ExitStack() as stack:
        web = assembly.Web(load(WebSettings, {"queue_url": url}, {}), SYSTEM_CLOCK, CollectorRegistry(), stack)
        server = uvicorn.Server(
            uvicorn.Config(web.app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        wait_for(lambda: server.started, what="the application")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        web.stop()
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("safe", [True, False], ids=["as they are", "unsafe"])
def test_a_template_that_does_not_escape_is_noticed(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, safe: bool
) -> None:
    """One filter too many: texts become elements, and the browser reports scripts. Otherwise nothing is found."""
    templates = shutil.copytree(_TEMPLATES, tmp_path / "templates")
    parts = templates / "parts.html"
    assert _ESCAPED in parts.read_text()
    if not safe:
        parts.write_text(parts.read_text().replace(_ESCAPED, _UNSAFE))
    with (
        served(tmp_path, templates, monkeypatch) as url,
        watched_pages(browser, url) as (make, faults),
    ):
        page = make()
        page.goto("/")
        found = [one for text in _SEEN for one in problems(page, TEXTS[text])]
        if safe:
            assert found == faults == []
            return
        assert any("is not shown" in one for one in found)
        assert any(one.startswith("<script>") for one in found)
        assert any(one.startswith("<iframe") for one in found)
        assert any("Content Security Policy" in one for one in faults)
        assert any("//evil.example" in one for one in faults)
