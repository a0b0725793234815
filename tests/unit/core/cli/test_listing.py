"""Lists of queues and of messages: filters, order, pages; and JSON of one shape, as docs/cli.schema.json describes it."""

import json
import runpy
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema_rs import validator_for

from fmq.cli.main import fmq_command
from fmq.message import Incoming, Properties
from fmq.outcome import Dead, Done, RetryLater
from fmq.store.backends import open_store

_DOCS = Path(__file__).parents[4] / "docs"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three queues: one with five dead letters, one with pending messages and a retry, one that is paused."""
    url = f"sqlite:///{tmp_path_factory.mktemp('listing')}/q.db"
    now = time.time()
    with open_store(url) as store:
        for name in ("a/#", "b", "empty"):
            store.declare(name)
        store.pause("empty", "test")
        store.put([Incoming("a/#", f"a/{n}", b"\xff" if n == 2 else b"x", now - 50) for n in range(6)])
        for claim in store.claim("a/#", 6, lease=60):
            store.settle([(claim, Done() if claim.message.id == 6 else Dead(f"reason {claim.message.id}"))])
        properties = Properties(content_type="text/plain", user_properties=(("k", "v"),), correlation_data=b"\0")
        store.put([Incoming("b", "b", b"x", now - 10 * n, properties=properties) for n in range(1, 5)])
        (claim,) = store.claim("b", 1, lease=60)
        store.settle([(claim, RetryLater(600, "OSError: no route"))])
    return url


def _run(url: str, *words: str) -> str:
    result = CliRunner().invoke(fmq_command, [*words, "--queue-url", url])
    assert result.exception is None or result.exit_code in (0, 1), result.output
    return result.stdout


def _names(url: str, *words: str) -> list[str]:
    return [one["queue"] for one in json.loads(_run(url, "status", "--json", *words))["queues"]]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("", ["a/#", "b", "empty"]),
        ("b empty", ["b", "empty"]),
        ("--sort age", ["b", "a/#", "empty"]),
        ("--sort dead", ["a/#", "b", "empty"]),
        ("--sort pending --limit 1", ["b"]),
        ("--only dead", ["a/#"]),
        ("--only dead --only paused", ["a/#", "empty"]),
        ("--only claimed", []),
    ],
)
def test_queues(url: str, words: str, names: list[str]) -> None:
    """Filtered by name and by what they have, and in the order that was asked for."""
    assert _names(url, *words.split()) == names


def test_a_limit_is_told(url: str) -> None:
    """And so is that nothing is left to show."""
    assert "1 of 3 queues" in _run(url, "status", "--limit", "1")
    assert "No queue to show" in _run(url, "status", "--only", "claimed")


@pytest.mark.parametrize("command", [("dead", "list", "a/#"), ("peek", "b")])
@pytest.mark.parametrize("sort", ["newest", "oldest"])
def test_pages(url: str, command: tuple[str, ...], sort: str) -> None:
    """Page by page come the same messages as in one list, in the same order, until the last page."""

    def page(*words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(_run(url, *command, "--json", "--sort", sort, *words))
        return found

    whole = [one["id"] for one in page()["messages"]]
    assert whole == sorted(whole, reverse=sort == "newest")
    step = page("--limit", "2")
    found = [one["id"] for one in step["messages"]]
    while step["next"] is not None and len(found) <= len(whole):
        step = page("--limit", "2", "--after", step["next"])
        found += [one["id"] for one in step["messages"]]
    assert found == whole
    assert step["total"] == len(whole)


def test_the_next_page_is_told(url: str) -> None:
    """With the words to type; not at the end."""
    told = _run(url, "dead", "list", "a/#", "--limit", "2", "--sort", "oldest").splitlines()[-1]
    assert told == "2 of 5 dead letters of a/#. Next page: --after 2"
    assert _run(url, "dead", "list", "a/#").splitlines()[-1] == "5 of 5 dead letters of a/#"


@pytest.mark.parametrize(("sort", "place"), [("newest", "3"), ("newest", "x,y"), ("oldest", "1.5,3"), ("oldest", "x")])
def test_a_place_of_another_list(url: str, sort: str, place: str) -> None:
    """Refused with what is expected."""
    result = CliRunner().invoke(fmq_command, ["peek", "b", "--sort", sort, "--after", place, "--queue-url", url])
    assert result.exit_code == 2
    assert f"{place!r} is not a place in a list with --sort {sort}" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        "status --json",
        "status --json --watch --count 1 --interval 0.1",
        "dead list a/# --json",
        "dead list empty --json",
        "dead show a/# 3",
        "dead summary --all-queues --json",
        "peek b --json",
        "peek empty --json",
        "check --json --max-pending 1 --max-age 5 --warn-pending 0",
        "doctor --json --skip broker",
    ],
)
def test_json_fits_its_schema(url: str, words: str) -> None:
    """What commands print is what docs/cli.schema.json says, formats of times included; the field command names the command."""
    schema = json.loads((_DOCS / "cli.schema.json").read_text(encoding="utf-8"))
    printed = json.loads(_run(url, *words.split()))
    validator_for(schema, validate_formats=True).validate(printed)
    assert words.startswith(printed["command"])


def test_the_schema_refuses_other_shapes() -> None:
    """A field more, a field less, a time in Unix seconds: each is refused, so that the test above has teeth."""
    schema = json.loads((_DOCS / "cli.schema.json").read_text(encoding="utf-8"))
    validator = validator_for(schema, validate_formats=True)
    store = {"database_bytes": 1, "wal_bytes": None, "free_disk_bytes": None}
    right = {"command": "status", "at": "2026-11-29T11:35:47.021231Z", "queues": [], "routes": [], "store": store}
    assert validator.is_valid(right)
    for wrong in ({**right, "more": 1}, {**right, "at": 1.5}, {**right, "at": "yesterday"}, {"command": "status"}):
        assert not validator.is_valid(wrong)


def test_the_schema_is_made_from_the_code() -> None:
    """As `make fmt` writes it."""
    made = runpy.run_path(str(_DOCS / "make_cli_schema.py"))["schema"]()
    assert json.loads((_DOCS / "cli.schema.json").read_text(encoding="utf-8")) == made
