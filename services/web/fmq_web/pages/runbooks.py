"""The runbooks of docs/runbooks, as blocks that a template prints. Only what runbooks use of Markdown is known."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from fmq_web.http.problems import not_found
from fmq_web.pages.links import url

_FOLDER = Path(__file__).with_name("runbooks")
_INLINE = re.compile(
    r"(?P<code>`[^`]+`)|(?P<strong>\*\*[^*]+\*\*)|(?P<em>\*[^*]+\*)|\[(?P<link>[^\]]+)\]\((?P<to>[^)]+)\)"
)


class Piece(NamedTuple):
    """A part of a line. ``to`` is the path of a link; a link to a page that is not here is plain text."""

    kind: Literal["text", "code", "strong", "em", "link"]
    text: str
    to: str = ""


@dataclass(slots=True)
class Block:
    """A heading, a paragraph, or a list with its items."""

    kind: Literal["heading", "paragraph", "list", "code"]
    lines: list[Sequence[Piece]] = field(default_factory=list)


@cache
def names() -> frozenset[str]:
    """The runbooks there are."""
    return frozenset(path.stem for path in _FOLDER.glob("*.md"))


@cache
def runbook(name: str) -> Sequence[Block]:
    """The blocks of a runbook, without its title. Raises Problem 404."""
    if name not in names():
        raise not_found("No runbook has this name.")
    text = (_FOLDER / f"{name}.md").read_text(encoding="utf-8")
    return [_block(part) for part in re.split(r"\n\s*\n", text.strip())[1:]]


def _block(part: str) -> Block:
    if part.startswith("```"):
        return Block("code", [[Piece("text", line)] for line in part.splitlines()[1:-1]])
    if part.startswith("#"):
        return Block("heading", [pieces(part.lstrip("# "))])
    if part.startswith("- "):
        return Block(
            "list", [pieces(" ".join(item.split())) for item in re.split(r"^- ", part, flags=re.MULTILINE)[1:]]
        )
    return Block("paragraph", [pieces(" ".join(part.split()))])


def pieces(line: str) -> Sequence[Piece]:
    """A line with its code, emphasis and links."""
    found: list[Piece] = []
    at = 0
    for match in _INLINE.finditer(line):
        if match.start() > at:
            found.append(Piece("text", line[at : match.start()]))
        found.append(_piece(match))
        at = match.end()
    return [*found, Piece("text", line[at:])] if at < len(line) else found


def _piece(match: re.Match[str]) -> Piece:
    if code := match["code"]:
        return Piece("code", code[1:-1])
    if strong := match["strong"]:
        return Piece("strong", strong[2:-2])
    if em := match["em"]:
        return Piece("em", em[1:-1])
    other = match["to"].removesuffix(".md")
    return (
        Piece("link", match["link"], url("/runbook", name=other)) if other in names() else Piece("text", match["link"])
    )
