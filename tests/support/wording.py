"""Patterns of English that people stumble over, and the texts of this repository in which to look for them.

``python tests/support/wording.py`` prints the number of matches for each pattern and scope.
"""

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

PATTERNS: Mapping[str, tuple[str, str]] = {
    r"\bshall\b|\bshalt\b": ("shall", "must, will, or the imperative"),
    r"\bheeds?\b": ("heed", "follow, apply"),
    r"\bit would be\b|\bwould be like\b": ("it would be", "expected …"),
    r"\bmay be meant\b": ("may be meant", "Did you mean …?"),
    r"\b(?:is|are|was|told|tells?) of it once\b": ("told of it once", "logged once"),
    r"\b(?:is|are|be|was|were|been) told\b": ("is told", "is logged, reported, counted, or receives"),
    r"\bwhoever\b": ("whoever", "name the person or the process"),
    r"\bwithout a word\b": ("without a word", "without giving a reason"),
    r"\bagain and again\b": ("again and again", "repeatedly"),
    r"\bso many\b": ("so many", "this number of"),
    r"\bone (?:a|an) (?:line|queue|row|minute|store|message|process|packet|batch)\b": ("one a line", "one per line"),
    r"\b(?:object|line|row|file|commit|table)s? a (?:line|queue|row|minute|store|message|process|batch)\b": (
        "a row a minute",
        "per",
    ),
    r"\bof fmq's\b(?! own)": ("of fmq's", "of fmq, fmq's …"),
    r"\bmend(?:s|ed|ing)?\b": ("mend", "repair, fix"),
    r"\bbeside (?:the|its|their|what|a|it|those|others?)\b": ("beside", "next to, in addition to, besides"),
    r"(?<!there )\b(?:is|are) no (?!longer|more|less|other|such|one\b|\w+ing\b|way|\w+s\b|need|need\b|error|reason|limit|answer|room)"
    r"(?:valid |good |real )?[a-z]+(?=[.,;:]| to | for | of | that )": ("is no X", "is not a X"),
    r"\bthere (?:is|are|was|were) no\b": ("there is no X", "say what has no X, or that X is missing"),
    r"\bfor ever\b": ("for ever", "forever"),
    r"\bby itself\b": ("by itself", "automatically"),
    r"\bis to be\b|\bare to be\b": ("is to be", "has to be, or the imperative"),
    r"\bwhat (?:has|have) been\b": ("what has been", "name the thing"),
    r"\bnothing of (?:it|that|them)\b": ("nothing of it", "none of it"),
    r"\bin vain\b": ("in vain", "without success"),
    r"\ball there (?:are|is)\b": ("all there are", "all"),
    r"\bof (?:its|his|their) own making\b": ("of its own making", "its own fault"),
    r"\bhas come to its end\b|\bcomes? to (?:its|their) end\b": ("comes to its end", "ends"),
}
"""Pattern: its name, and what to write instead."""

_ANY = re.compile("|".join(PATTERNS), re.IGNORECASE)
_SKIPPED = {"tests/support/wording.py", "tests/docs/test_wording.py"}


class Text(NamedTuple):
    """A piece of prose and where it stands."""

    scope: str
    place: str
    text: str


def texts(root: Path = ROOT) -> Iterator[Text]:
    """All prose under version control: pages, and strings and comments of code."""
    listed = subprocess.run(["git", "ls-files"], cwd=root, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        path = root / name
        if name in _SKIPPED or not path.is_file() or path.is_symlink():
            continue
        scope = name.split("/")[0] if "/" in name else "top"
        if path.suffix == ".md":
            yield from _lines(scope, name, path.read_text(encoding="utf-8"))
        elif (
            path.suffix in (".yml", ".yaml", ".toml", ".in", "")
            and path.stat().st_size < 200_000
            and scope != "requirements"
        ):
            try:
                content = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
            yield from _lines(scope, name, content)
        elif path.suffix == ".py":
            yield from _strings(scope, name, path.read_text(encoding="utf-8"))


def _lines(scope: str, name: str, content: str) -> Iterator[Text]:
    for number, line in enumerate(content.splitlines(), 1):
        yield Text(scope, f"{name}:{number}", line)


def _strings(scope: str, name: str, content: str) -> Iterator[Text]:
    for token in tokenize.generate_tokens(io.StringIO(content).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield Text(scope, f"{name}:{token.start[0]}", re.sub(r"\s+", " ", token.string))


def matches(text: Text) -> Iterator[tuple[str, str]]:
    """Name and replacement of each pattern in ``text``."""
    if not _ANY.search(text.text):
        return
    for pattern, (name, instead) in PATTERNS.items():
        for _ in re.finditer(pattern, text.text, re.IGNORECASE):
            yield name, instead


def main() -> None:
    """Print the counts."""
    counts: dict[tuple[str, str], int] = {}
    for text in texts(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT):
        for name, _ in matches(text):
            counts[name, text.scope] = counts.get((name, text.scope), 0) + 1
    scopes = sorted({scope for _, scope in counts})
    lines = [
        f"{name:20} " + " ".join(f"{scope} {counts[name, scope]}" for scope in scopes if (name, scope) in counts)
        for name in sorted({name for name, _ in counts})
    ]
    sys.stdout.write("\n".join([*lines, f"total {sum(counts.values())}", ""]))


if __name__ == "__main__":
    main()
