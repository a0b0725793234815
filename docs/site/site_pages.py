"""Copies the pages to where the site is built from.

A page of docs/ stays as it is. What it links to outside docs/ (examples, manifests, other folders' pages) becomes a page of the site
under repository/, so that every link works there, also without a network.
"""

import re
import shutil
from collections.abc import Iterator
from os.path import relpath
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^( *)(```+)[^\n]*\n.*?^\1\2 *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
_LANGUAGES = {".conf": "ini", ".py": "python", ".yaml": "yaml", ".yml": "yaml", ".sql": "sql", ".toml": "toml"}


def stage(target: Path) -> None:
    """Write all pages and pictures to the folder ``target``, which is made anew."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(DOCS, target, ignore=shutil.ignore_patterns("*.py", "site", "__pycache__"))
    waiting = sorted(DOCS.rglob("*.md"))
    done = set(waiting)
    while waiting:
        path = waiting.pop()
        text = _text(path)
        page = target / _place(path)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(_with_links(text, path), encoding="utf-8")
        new = {to for to, _ in _targets(text, path) if not to.is_relative_to(DOCS)} - done
        done |= new
        waiting += sorted(new)


def _text(path: Path) -> str:
    """A Markdown page as it is, another file as a page that shows it, and a folder as a list of its files."""
    name = path.relative_to(ROOT)
    if path.is_dir():
        return f"# {name}\n\n" + "\n".join(f"- [{one.name}]({path.name}/{one.name})" for one in _files(path)) + "\n"
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    return f"# {name}\n\n````{_LANGUAGES.get(path.suffix, 'text')}\n{text.rstrip()}\n````\n"


def _files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_file() and not one.name.startswith("."))


def _place(path: Path) -> Path:
    """Where the page of a file or folder of the repository stands."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS)
    name = path.relative_to(ROOT)
    return Path("repository", name if path.suffix == ".md" else f"{name}.md")


def _targets(text: str, path: Path) -> Iterator[tuple[Path, str]]:
    """The files of the repository that a page links to, and the link as it stands there. Raises ValueError on one that is not there."""
    for match in _LINK.finditer(_FENCE.sub("", text)):
        link = match[1]
        if "://" in link or link.startswith("mailto:"):
            continue
        to = (path.parent / link).resolve()
        if (to / "README.md").exists():
            to /= "README.md"
        if not to.exists() or not to.is_relative_to(ROOT):
            raise ValueError(f"{path.relative_to(ROOT)}: {link} is not there")
        yield to, link


def _with_links(text: str, path: Path) -> str:
    """The text with links to where the site has their targets."""
    new = {link: relpath(_place(to), _place(path).parent) for to, link in _targets(text, path)}
    pieces, at = [], 0
    for fence in [*_FENCE.finditer(text), None]:
        end = fence.start() if fence else len(text)
        pieces.append(_LINK.sub(lambda match: new.get(match[1], match[1]) + (match[2] or ""), text[at:end]))
        if fence:
            pieces.append(fence[0])
            at = fence.end()
    return "".join(pieces)
