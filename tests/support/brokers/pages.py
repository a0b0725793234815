"""The configuration blocks of docs/brokers/*.md: what a page shows is what the rigs run."""

import re
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "brokers"
_BLOCK = re.compile(r"<!-- block: (?P<name>[\w.-]+) -->\n```\w*\n(?P<body>.*?)```\n", re.DOTALL)


def block(page: str, name: str) -> str:
    """The block with ``<!-- block: NAME -->`` before it. Raises KeyError where the page has none."""
    text = (FOLDER / page).read_text(encoding="utf-8")
    return {found["name"]: found["body"] for found in _BLOCK.finditer(text)}[name]


def filled(text: str, replacements: Mapping[str, object]) -> str:
    """``text`` with this run's ports and folders instead of the usual ones, each of which has to be in it.

    All in one pass: a port of this run, say 41883, may contain a usual one.
    """
    for usual in replacements:
        assert usual in text, f"the page has no {usual} any more, and the rig replaces it:\n{text}"
    longest_first = sorted(replacements, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda found: str(replacements[found[0]]), text)


def settings(page: str, name: str = "fmq") -> dict[str, str]:
    """The settings of fmq in a block with one NAME=VALUE per line."""
    lines = [line for line in block(page, name).splitlines() if line and not line.startswith("#")]
    return {setting: value.strip("'") for setting, _, value in (line.partition("=") for line in lines)}
