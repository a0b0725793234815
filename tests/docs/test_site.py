"""The documentation site: all pages are found, and what it checks for is found."""

import re
from pathlib import Path

import pytest

from docs.pages import ROOT
from site_links import faults
from site_pages import stage

_LISTED_ELSEWHERE = re.compile(r"(adr|runbooks)/(?!README)")


def test_the_navigation_has_every_page() -> None:
    """Once each; a decision and a runbook are listed by the README of their folder."""
    config = (ROOT / "docs/site/mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^ +- (?:[\w -]+: )?(\S+\.md)$", config, re.MULTILINE)
    pages = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(set(listed)) == sorted(listed)
    wanted = {page for page in pages if not _LISTED_ELSEWHERE.match(page)}
    assert {page for page in listed if not page.startswith("repository/")} == wanted


def test_links_out_of_docs_stay_in_the_site(tmp_path: Path) -> None:
    """A file, a folder and a page of the repository become pages; code blocks stay as they are."""
    stage(tmp_path / "pages")
    index = (tmp_path / "pages/README.md").read_text(encoding="utf-8")
    assert "(repository/CONTRIBUTING.md)" in index
    assert "(repository/examples.md)" in index
    assert "- [plain.py](examples/plain.py.md)" in (tmp_path / "pages/repository/examples.md").read_text(
        encoding="utf-8"
    )
    shown = (tmp_path / "pages/repository/examples/plain.py.md").read_text(encoding="utf-8")
    assert shown.startswith("# examples/plain.py\n\n````python\n")
    assert "(../docs/handlers.md" not in (tmp_path / "pages/repository/CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="b.html#there">b</a><a href="#here" id="here">a</a><a href="https://example.com">c</a>', None),
        ('<a href="c.html">c</a>', "c.html is not there"),
        ('<a href="b.html#nowhere">b</a>', "b.html#nowhere has no such heading"),
        ('<a href="/b.html">b</a>', "/b.html is not relative"),
        ('<img src="img/a.png">', "img/a.png is not there"),
        ('<script src="https://example.com/a.js"></script>', "https://example.com/a.js is loaded from another host"),
    ],
)
def test_faults_are_found(tmp_path: Path, body: str, fault: str | None) -> None:
    """Each kind is found, and named with its page."""
    (tmp_path / "a.html").write_text(body)
    (tmp_path / "b.html").write_text('<h1 id="there">b</h1>')
    assert faults(tmp_path) == ([f"{fault} (in a.html)"] if fault else [])


def test_a_font_from_elsewhere(tmp_path: Path) -> None:
    """Style sheets load nothing either."""
    (tmp_path / "a.css").write_text("@font-face { src: url('https://example.com/a.woff2') }")
    assert faults(tmp_path) == ["a style sheet loads from another host (in a.css)"]
