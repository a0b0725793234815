"""Checks the site as a browser sees it: every link, anchor and picture is there, and nothing is loaded from another host."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

_LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
_CSS_URL = re.compile(r"url\(\s*['\"]?(?:https?:)?//|@import\s+['\"]https?:")


class _Reference(NamedTuple):
    url: str
    is_loaded: bool


class _Page(HTMLParser):
    """The ids of a page, and what it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.references: list[_Reference] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.ids.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.references.append(_Reference(given["href"], is_loaded=False))
        elif tag in _LOADED and _LOADED[tag] in given and given.get("rel") not in ("canonical", "prev", "next"):
            self.references.append(_Reference(given[_LOADED[tag]], is_loaded=True))


def faults(site: Path) -> list[str]:
    """What is wrong with the site in a folder, one line for each fault."""
    pages = {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found: dict[str, list[str]] = {}
    for path, page in pages.items():
        if path.name == "404.html":  # its links are from the root of a server
            continue
        for url, is_loaded in page.references:
            fault = _fault(url, path, pages, is_loaded=is_loaded)
            if fault:
                found.setdefault(f"{url.removeprefix('./').replace('../', '')} {fault}", []).append(path.name)
    for path in site.rglob("*.css"):
        if _CSS_URL.search(path.read_text(encoding="utf-8")):
            found.setdefault("a style sheet loads from another host", []).append(path.name)
    return [f"{fault} (in {', '.join(names[:3])}{', …' if names[3:] else ''})" for fault, names in found.items()]


def _fault(url: str, path: Path, pages: dict[Path, _Page], *, is_loaded: bool) -> str | None:
    parts = urlsplit(url)
    if parts.scheme == "data":
        return None
    if parts.scheme or parts.netloc:
        return "is loaded from another host" if is_loaded else None
    if parts.path.startswith("/"):
        return "is not relative"
    to = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if to.is_dir():
        to /= "index.html"
    if not to.exists():
        return "is not there"
    if parts.fragment and to in pages and unquote(parts.fragment) not in pages[to].ids:
        return "has no such heading"
    return None
