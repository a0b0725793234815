"""The operator's commands against a real store."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fmq.cli.main import fmq_command
from fmq.message import Incoming, Properties
from fmq.outcome import Dead
from fmq.store.backends import open_store


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with three dead letters and one pending message."""
    url = f"sqlite:///{tmp_path}/q.db"
    with open_store(url) as queue:
        queue.declare("a/b")
        queue.put(
            [
                Incoming("a/b", f"a/b/{n}", bytes([n, 255]), 1.0, properties=Properties(correlation_data=b"\0"))
                for n in range(4)
            ]
        )
        queue.settle([(claim, Dead(f"reason {claim.message.id}\nmore")) for claim in queue.claim("a/b", 3, lease=60)])
    return url


def fmq(url: str, *words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(fmq_command, [*words, "--queue-url", url], input=stdin)


def ids(result: Result) -> Sequence[int]:
    return [one["id"] for one in json.loads(result.stdout)["messages"]]


def test_status(url: str) -> None:
    """A table for people and JSON for programs."""
    assert "a/b" in fmq(url, "status").stdout
    told = json.loads(fmq(url, "status", "--json").stdout)
    assert told["queues"][0] | {"queue": "a/b", "pending": 1, "dead": 3, "stored": 4} == told["queues"][0]
    assert told["store"]["free_disk_bytes"] > 0


def test_dead_list_and_show(url: str) -> None:
    """The first line of each reason in the list; everything, also a binary payload, in the whole view."""
    listed = fmq(url, "dead", "list", "a/b").stdout
    assert "reason 2" in listed
    assert "more" not in listed
    assert "3 of 3 dead letters" in listed
    assert ids(fmq(url, "dead", "list", "a/b", "--json", "--sort", "oldest", "--after", "1", "--limit", "1")) == [2]
    shown = json.loads(fmq(url, "dead", "show", "a/b", "2").stdout)["message"]
    assert shown["reason"] == "reason 2\nmore"
    assert (shown["payload"], shown["payload_base64"]) == (None, "Af8=")
    assert shown["properties"] == {"correlation_data": "AA=="}
    assert "no dead letter 4" in str(fmq(url, "dead", "show", "a/b", "4").exception)


def test_dead_requeue(url: str) -> None:
    """Those named, or all; never both or neither."""
    assert "Requeued 1 message" in fmq(url, "dead", "requeue", "a/b", "1").stdout
    assert fmq(url, "dead", "requeue", "a/b").exit_code == 2
    assert fmq(url, "dead", "requeue", "a/b", "1", "--all").exit_code == 2
    assert "Requeued 2 messages" in fmq(url, "dead", "requeue", "a/b", "--all").stdout
    assert ids(fmq(url, "dead", "list", "a/b", "--json")) == []


@pytest.mark.usefixtures("terminal")
def test_dead_purge_asks_first(url: str) -> None:
    """Without a yes nothing is deleted."""
    assert fmq(url, "dead", "purge", "a/b", "--all", stdin="n\n").exit_code != 0
    assert len(ids(fmq(url, "dead", "list", "a/b", "--json"))) == 3
    assert "Purged 1 message" in fmq(url, "dead", "purge", "a/b", "3", stdin="y\n").stdout
    assert "Purged 2 messages" in fmq(url, "dead", "purge", "a/b", "--all", "--yes").stdout


@pytest.mark.usefixtures("terminal")
def test_set_aside(url: str, tmp_path: Path) -> None:
    """The file is there under a new name, and asked for first."""
    assert fmq(url, "set-aside", stdin="n\n").exit_code != 0
    assert (tmp_path / "q.db").exists()
    result = fmq(url, "set-aside", "--yes")
    kept = Path(result.stdout.split()[-1])
    assert kept.exists()
    assert not (tmp_path / "q.db").exists()
