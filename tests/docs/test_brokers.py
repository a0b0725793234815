"""The broker pages: the table is whole, and every configuration that a page shows is one that a broker ran with."""

import re

import pytest

from brokers.table import FEATURES, PAGE
from support.brokers.all import BROKERS
from support.brokers.pages import FOLDER, block, settings

_TITLES = sorted({(kind.title, kind.page) for kind in BROKERS.values()})


def test_the_table_has_every_feature_and_no_failure() -> None:
    """It is what the last whole run of make test-brokers saw, and that run broke no promise."""
    text = PAGE.read_text(encoding="utf-8")
    rows = {row.split(" | ")[0].removeprefix("| "): row for row in text.splitlines() if row.startswith("| ")}
    assert [feature for feature in FEATURES if feature not in rows] == []
    table = text.partition("begin -->")[2]
    assert "**fails**" not in table
    for feature in FEATURES:
        assert rows[feature].count(" | ") == len(BROKERS)
    for title, page in _TITLES:
        assert f"| {title} " in table
        assert f"(brokers/{page})" in text


@pytest.mark.parametrize(("title", "page"), _TITLES)
def test_a_page_shows_what_is_run(title: str, page: str) -> None:
    """Each has a title, a URL for fmq, and no block of configuration that the tests leave out."""
    text = (FOLDER / page).read_text(encoding="utf-8")
    assert text.startswith(f"# {title}\n")
    assert settings(page)["FMQ_BROKER_URL"].startswith("mqtt://")
    shown = re.findall(r"^```(?!sh)\w+\n", text, re.MULTILINE)
    named = [name for name in re.findall(r"<!-- block: ([\w.-]+) -->", text) if name != "fmq"]
    assert len(shown) == len(named)
    assert all(block(page, name) for name in named)
