"""The pages that people read: their code, the commands and settings that they name, their links."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_COMMAND = re.compile(r"(?<![\w./=@,-])(?:[\w./-]*/)?fmq(?P<service>-listen|-process)? (?=[a-z-])")
_END = re.compile(r"[\n;&)>#]|\|(?![a-z])")  # list|show are two commands in a word, not a pipe
_OPTION = re.compile(r"(?:^| )--?[a-z][\w-]* $")
_SETTING = re.compile(r"\bFMQ_[A-Z0-9]\w*(?:…|\*)?|\bFMQ_(?:…|\*)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Named:
    """Something that a page names, and where."""

    text: str
    line: int


class Page:
    """A Markdown page."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path.relative_to(ROOT))
        self.text = path.read_text(encoding="utf-8")

    def code(self, language: str) -> list[Named]:
        """The code blocks in a language, without the block's own indentation."""
        return [
            Named(re.sub(rf"^{match[1]}", "", match[3], flags=re.MULTILINE), self._line(match.start()))
            for match in _FENCE.finditer(self.text)
            if match[2] == language
        ]

    def commands(self) -> Iterator[Named]:
        """Every `fmq …` in a block of shell code or in a code span, up to the end of that command."""
        for match in _FENCE.finditer(self.text):
            if match[2] in ("sh", "bash", "console", "text", ""):
                yield from self._commands_in(re.sub(r"\\\n\s*", " ", match[3]), match.start(3))
        for match in _SPAN.finditer(self.prose):
            yield from self._commands_in(match[1], match.start(1))

    def _commands_in(self, code: str, at: int) -> Iterator[Named]:
        for match in _COMMAND.finditer(code):
            before = code[code.rfind("\n", 0, match.start()) + 1 : match.start()]
            if "#" in before or _OPTION.search(before):  # a comment; sudo -u fmq, kubectl -n fmq
                continue
            end = _END.search(code, match.end())
            rest = code[match.end() : end.start() if end else None]
            service = (match["service"] or "")[1:]
            yield Named(f"{service} {rest}".strip(), self._line(at) + code[: match.start()].count("\n"))

    def settings(self) -> Iterator[Named]:
        """Every FMQ_… anywhere in the text; one that ends in … or * is a beginning."""
        for match in _SETTING.finditer(self.text):
            yield Named(match[0], self._line(match.start()))

    def links(self) -> Iterator[Named]:
        """Links to other pages, files and headings of the project."""
        for match in _LINK.finditer(self.prose):
            if "://" not in match[1] and not match[1].startswith("mailto:"):
                yield Named(match[1], self._line(match.start()))

    @cached_property
    def anchors(self) -> set[str]:
        """What its headings are linked by."""
        return {
            re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).strip().replace(" ", "-")
            for heading in _HEADING.findall(self.prose)
        }

    @cached_property
    def prose(self) -> str:
        """The text with its code blocks blanked out, line by line."""
        return _FENCE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), self.text)

    def _line(self, at: int) -> int:
        return self.text.count("\n", 0, at) + 1


def pages() -> list[Page]:
    """README, CONTRIBUTING, and all of docs/ and deploy/."""
    paths = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "deploy").rglob("*.md")),
    ]
    return [Page(path) for path in paths]


def words(command: str) -> list[str]:
    """A command's words as a shell sees them; an apostrophe of prose is a character like others."""
    try:
        return shlex.split(command, comments=True)
    except ValueError:
        return command.split()
