"""What pages load is there, is small, and obeys the content security policy."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fmq_web.answers.queues import Need
from fmq_web.http.peer.caller import Caller, Role
from fmq_web.pages import assets, runbooks, shown
from fmq_web.pages.render import render
from support.web.queues import DEAD, GROWS, overview
from support.web.texts import NAMES

_ROOT = Path(__file__).parents[4]
_SCRIPTS = {name: one.content.decode() for name, one in assets.FILES.items() if name.endswith(".js")}
_SINKS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|\beval\b|new Function|srcdoc|"
    r"\.style\b|setAttribute\(.(?:style|on)|import\(|setTimeout\(\s*[\"'`]"
)
_CALLER = Caller(name="jana", role=Role.READ, how="session", address="127.0.0.1", session="s")


def test_scripts_have_no_way_to_make_html() -> None:
    """Trusted Types would stop them in some browsers; this stops them in all."""
    for name, text in _SCRIPTS.items():
        assert not _SINKS.search(text), name


def test_scripts_load_only_one_another() -> None:
    """By relative paths, since their folder's name is a hash."""
    for name, text in _SCRIPTS.items():
        for other in re.findall(r'from "(.+?)"|^import "(.+?)"', text, re.MULTILINE):
            assert (other[0] or other[1]).removeprefix("./") in _SCRIPTS, name


def test_the_style_loads_only_fonts_that_are_there() -> None:
    """No request goes elsewhere."""
    style = assets.FILES["style.css"].content.decode()
    assert "@import" not in style
    loaded = re.findall(r'url\("(.+?)"\)', style)
    assert loaded
    assert all(name in assets.FILES for name in loaded)


def test_a_changed_file_has_another_path() -> None:
    """So browsers may keep each forever."""
    assert assets.find(assets.VERSION, "style.css")
    assert assets.find("0" * 12, "style.css") is None
    assert assets.find(assets.VERSION, "../render.py") is None
    with pytest.raises(KeyError):
        assets.path_of("missing.css")


def test_pages_are_small() -> None:
    """150 KB with 100 queues, 200 KB with all that is loaded the first time."""
    page = len(render(shown.overview(overview(queues=100), None), _CALLER, "").encode())
    files = sum(len(one.content) for name, one in assets.FILES.items() if not name.endswith(".txt"))
    assert page <= 150_000
    assert page + files <= 200_000


def test_runbooks_are_those_of_the_documentation() -> None:
    """After a change there: cp docs/runbooks/Fmq*.md services/web/fmq_web/pages/runbooks/"""
    there = {path.stem: path.read_bytes() for path in (_ROOT / "docs/runbooks").glob("Fmq*.md")}
    here = {path.stem: path.read_bytes() for path in Path(runbooks.__file__).with_name("runbooks").glob("*.md")}
    assert here == there


@pytest.mark.parametrize("name", sorted(runbooks.names()))
def test_a_runbook_loses_no_word(name: str) -> None:
    """Only the marks of Markdown are gone."""
    source = (_ROOT / f"docs/runbooks/{name}.md").read_text(encoding="utf-8")
    words = " ".join("".join(piece.text for piece in line) for block in runbooks.runbook(name) for line in block.lines)
    bare = re.sub(r"\]\([^)]*\)|```\w*", "", source.partition("\n")[2])
    assert re.findall(r"\w+", words) == re.findall(r"\w+", bare)


@pytest.mark.parametrize("need", [DEAD, GROWS], ids=lambda need: need.kind)
def test_needs_lead_to_runbooks(need: Need) -> None:
    """That exist."""
    assert need.runbook in runbooks.names()


def test_the_filter_knows_names_exactly() -> None:
    """Even names with line ends, quotes and invisible characters: scripts find rows by them."""
    names = [*NAMES[:3], 'a"b', "c\rd\ne", "f\u202eg", "h&quot;i"]
    rows = [one.model_copy(update={"name": name}) for one, name in zip(overview().queues, names, strict=False)]
    html = render(shown.overview(overview().model_copy(update={"queues": rows}), None), _CALLER, "")
    found: list[str] = []

    class Finder(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value or "" for name, value in attrs if tag == "tr" and name == "data-queue")

    Finder().feed(html)
    assert found == names
