"""The broker pages: the table is whole, and every configuration that a page shows is one that a broker ran with."""

import re
from pathlib import Path

import pytest

from brokers.table import FEATURES, PAGE
from fmq.service.environment import load
from fmq_listener.settings import ListenerSettings
from support.brokers.all import BROKERS
from support.brokers.pages import FOLDER, block, filled, settings

_CLOUDS = ("aws-iot.md", "azure-event-grid.md", "emqx-cloud.md", "hivemq-cloud.md")
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


@pytest.mark.parametrize("page", _CLOUDS)
def test_a_configuration_for_a_cloud_is_valid(page: str, tmp_path: Path) -> None:
    """Each block is a file that the listener takes, once the files that it names are there."""
    text = (FOLDER / page).read_text(encoding="utf-8")
    names = re.findall(r"<!-- block: ([\w.-]+) -->", text)
    assert text.count("```toml") == len(names) > 0
    secret = tmp_path / "secret"
    secret.write_text('{"x-name":"value"}')
    for name in names:
        config = tmp_path / "fmq.toml"
        config.write_text(re.sub(r'(?<=_file = ")/run/secrets/[^"]+', str(secret), block(page, name)))
        settings = load(ListenerSettings, {"topics": ("plant/#",)}, {"FMQ_CONFIG": str(config)}, strict=True)
        assert settings.broker.tls


def test_the_clouds_are_in_the_table_with_their_tests() -> None:
    """Every test that the table names exists."""
    table = PAGE.read_text(encoding="utf-8").partition("## Clouds")[2].partition("## Test results")[0]
    assert all(f"brokers/{page}" in PAGE.read_text(encoding="utf-8") for page in _CLOUDS)
    tests = (FOLDER.parents[1] / "tests/integration/test_cloud_brokers.py").read_text(encoding="utf-8")
    defined = re.findall(r"^def (test_\w+)", tests, re.MULTILINE)
    named = [
        one for row in re.findall(r"\| ([^|]*) \|$", table, re.MULTILINE) for one in re.findall(r"`([a-z_]+)`", row)
    ]
    assert len(named) > 20
    assert [one for one in named if not any(one in test for test in defined)] == []


def test_a_port_of_the_run_may_contain_a_usual_one() -> None:
    """The ports of a run replace the usual ones alone, never a part of each other."""
    assert filled("listen 1884\nlisten 1883", {"1884": 41883, "1883": 51884}) == "listen 41883\nlisten 51884"
