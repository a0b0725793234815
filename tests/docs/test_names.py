"""What the pages name exists: commands with their options, settings, files and headings."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache

import click
import pytest

from docs.pages import ROOT, Page, pages, words
from fmq.cli.main import fmq_command
from fmq.message import Message
from fmq.service.settings import Settings, SettingsModel, StoreSettings, is_secret, variable
from fmq_listener.settings import ListenerSettings
from fmq_processor.handlers import SETTINGS
from fmq_processor.handlers.exec.environment import environment
from fmq_processor.settings import ProcessorSettings
from fmq_web.settings import WebSettings

PAGES = pages()
FILES_WITH_SETTINGS = [
    ROOT / ".env.example",
    *(path for path in (ROOT / "deploy").rglob("*") if path.is_file()),
    *(ROOT / "k8s").rglob("*.env"),
]


def nearest(name: str, known: set[str]) -> str:
    found = get_close_matches(name, known, 3, 0.5)
    return f"did you mean {' or '.join(found)}?" if found else f"there are {', '.join(sorted(known)[:40])}"


@cache
def commands_of(group: click.Group) -> dict[str, click.Command]:
    """The sub-commands, found once: each search goes through all installed packages."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command}


def mistakes_in(command: str) -> Iterator[str]:
    """What is wrong with the words after ``fmq``."""
    parts = words(command)
    yield from _mistakes(fmq_command, "fmq", parts)


def _mistakes(command: click.Command, called: str, parts: list[str]) -> Iterator[str]:
    context = click.Context(command)
    if isinstance(command, click.Group):
        known = commands_of(command)
        first = next((part for part in parts if not part.startswith("-")), "")
        if not re.fullmatch(r"[a-z|-]+", first):
            return  # a placeholder, such as …
        for name in first.split("|"):  # as in `fmq dead list|show`
            found = known.get(name)
            if found is None:
                yield f"`{called}` has no command {name!r}: {nearest(name, set(known))}"
            else:
                yield from _mistakes(found, f"{called} {name}", parts[parts.index(first) + 1 :])
        return
    flags = {flag for one in command.get_params(context) for flag in (*one.opts, *one.secondary_opts)}
    for part in parts:
        flag = part.partition("=")[0].rstrip(".,:…")
        if re.fullmatch(r"--[a-z][\w-]*", flag) and flag not in flags:
            yield f"`{called}` has no option {flag}: {nearest(flag, flags)}"


@cache
def known_settings() -> set[str]:
    """The variables of every service, handler and command, those that exec gives, and those of the compose file."""
    models: list[type[SettingsModel]] = [
        StoreSettings,
        Settings,
        ListenerSettings,
        ProcessorSettings,
        WebSettings,
        *SETTINGS.values(),
    ]
    known: set[str] = set()
    for model in models:
        for name, field in model.model_fields.items():
            known |= {variable(name)} | ({f"{variable(name)}_FILE"} if is_secret(field) else set())
    known |= _of_commands(fmq_command)
    known |= {name.decode() for name in environment(Message(1, "q", "t", b"", 0.0), {})}
    return known | set(re.findall(r"FMQ_\w+", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))


def _of_commands(command: click.Command) -> set[str]:
    context = click.Context(command)
    found: set[str] = set()
    for one in command.get_params(context):
        if one.envvar:
            found |= {one.envvar} if isinstance(one.envvar, str) else set(one.envvar)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            found |= _of_commands(inner) if inner else set()
    return found


@cache
def settings_of_the_tests() -> set[str]:
    """Sizes of tests and places of their tools, which CONTRIBUTING and others may name."""
    text = "".join(
        path.read_text(encoding="utf-8", errors="ignore")
        for path in (ROOT / "tests").rglob("*")
        if path.is_file() and path.parent != ROOT / "tests/docs"
    )
    pairs = re.findall(r"""environ[^\n]*?["'](FMQ_[A-Z_]+)|\$\{?(FMQ_[A-Z_]+)""", text)
    return {name for pair in pairs for name in pair if name}


def unknown(name: str, text: str) -> bool:
    """Whether a setting exists nowhere: neither in fmq nor in the example code of the text itself."""
    known = known_settings() | settings_of_the_tests()
    if name[-1] in "…*_":
        return not any(one.startswith(name.rstrip("…*")) for one in known)
    own = re.search(rf"^\s+{name.removeprefix('FMQ_').removesuffix('_FILE').lower()}: ", text, re.MULTILINE)
    return name not in known and not own


_WRONG_ON_PURPOSE = "docs/wrong-inputs.md"


def test_commands() -> None:
    """Each `fmq …` is a command that there is, with options that it has."""
    wrong = [
        f"{page.name}:{one.line}: {why}"
        for page in PAGES
        if page.name != _WRONG_ON_PURPOSE
        for one in page.commands()
        for why in mistakes_in(one.text)
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_settings() -> None:
    """Each FMQ_… is a setting of fmq, of a handler, of the compose file or of the page's own example."""
    wrong = [
        f"{page.name}:{one.line}: unknown setting {one.text}: {nearest(one.text, known_settings())}"
        for page in PAGES
        for one in page.settings()
        if unknown(one.text, page.text)
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_settings_in_shipped_files() -> None:
    """The same for what is copied and filled in."""
    wrong = []
    for path in FILES_WITH_SETTINGS:
        text = path.read_text(encoding="utf-8")
        wrong += [f"{path}: {name}" for name in re.findall(r"\bFMQ_[A-Z_]+", text) if unknown(name, text)]
    assert not wrong, f"files name unknown settings: {wrong}"


def test_links() -> None:
    """Each link within the project leads to a file or heading that there is."""
    wrong = []
    for page, one in ((each, link) for each in PAGES for link in each.links()):
        path, _, anchor = one.text.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        if not target.exists():
            wrong.append(f"{page.name}:{one.line}: {one.text} does not exist")
        elif anchor and target.suffix == ".md" and anchor not in Page(target).anchors:
            wrong.append(f"{page.name}:{one.line}: {path or 'this page'} has no heading #{anchor}")
    assert not wrong, "\n" + "\n".join(wrong)


def test_every_page_is_found() -> None:
    """From README by links alone: a page that nobody finds helps nobody."""
    by_path = {page.path: page for page in PAGES}
    found, ahead = set(), [ROOT / "README.md"]
    while ahead:
        path = ahead.pop()
        if path not in found and path in by_path:
            found.add(path)
            ahead += [(path.parent / link.text.partition("#")[0]).resolve() for link in by_path[path].links()]
    lost = sorted(page.name for page in PAGES if page.path not in found)
    assert not lost, f"no page links to {', '.join(lost)}: docs/README.md has lists of pages and handlers"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("listne dstdb", "`fmq` has no command 'listne': did you mean listen"),
        ("dead list|shwo q", "`fmq dead` has no command 'shwo': did you mean show"),
        ("listen dstdb --topics x", "`fmq listen` has no option --topics"),
        ("process dstdb 50 2 --handler mine:handle --concurrency=8", None),
        ("…", None),
    ],
)
def test_a_mistake_would_be_told(command: str, why: str | None) -> None:
    """With what is meant, probably."""
    assert [told.partition(why or "?")[1] for told in mistakes_in(command)] == ([why] if why else [])
