"""`fmq check`: exit codes, limits and the line that Nagios reads."""

import json
import re
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fmq.cli.main import fmq_command
from fmq.message import Incoming
from fmq.outcome import Dead, RetryLater
from fmq.store.backends import open_store

_AGE = 100.0
# monitoring-plugins.org, development guidelines, "Performance data".
_PERFORMANCE = re.compile(r"('[^'=]+'=\d+s?;[\d.]*;[\d.]*;0 ?)+")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Queue a: 3 pending for 100 s and a dead letter. Queue b|c: 2 pending."""
    url = f"sqlite:///{tmp_path}/q.db"
    with open_store(url) as queue:
        for name, count in (("a", 4), ("b|c", 2)):
            queue.declare(name)
            queue.put([Incoming(name, "t", b"", time.time() - _AGE) for _ in range(count)])
        queue.settle([(claim, Dead("x")) for claim in queue.claim("a", 1, lease=60)])
    return url


def check(url: str, *words: str) -> Result:
    result = CliRunner().invoke(fmq_command, ["check", *words, "--queue-url", url], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result


def test_a_planned_retry_is_not_old(url: str) -> None:
    """Its age counts from when it is due."""
    with open_store(url) as queue:
        queue.settle([(claim, RetryLater(3_600)) for claim in queue.claim("a", 3, lease=60)])
    assert check(url, "--queue", "a", "--max-age", "1s").return_value == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("", 0),
        ("--max-pending 3", 0),
        ("--max-pending 2", 1),
        ("--max-pending 2 --queue b|c", 0),
        ("--max-pending 4 --total", 1),
        ("--max-pending 5 --total", 0),
        ("--max-age 3m", 0),
        ("--max-age 1m", 1),
        ("--max-dead 1", 0),
        ("--max-dead 0", 1),
        ("--warn-pending 0 --warn-age 1", 0),
    ],
)
def test_exit_codes(url: str, words: str, code: int) -> None:
    """1 above a limit of one queue or of all together; at the limit all is well, and a warning does not fail the check."""
    assert check(url, *words.split()).return_value == code


@pytest.mark.parametrize(
    ("words", "code", "begins"),
    [
        ("", 0, "FMQ OK - 2 queues within limits | "),
        ("--warn-pending 2", 1, "FMQ WARNING - a: pending 3 (above 2) | "),
        ("--max-pending 2 --warn-age 10", 2, "FMQ CRITICAL - a: pending 3 (above 2) | "),
        ("--queue b|c --max-pending 1", 2, "FMQ CRITICAL - b/c: pending 2 (above 1) | "),
        ("--queue nowhere", 3, "FMQ UNKNOWN - {url} has no queue 'nowhere'"),
        ("--busy-seconds none", 3, "FMQ UNKNOWN - Invalid settings: --busy-seconds"),
    ],
)
def test_nagios(url: str, words: str, code: int, begins: str) -> None:
    """One line with the plugins' exit codes, and performance data that their readers take."""
    result = check(url, "--nagios", *words.split())
    assert result.return_value == code
    assert result.stdout.startswith(begins.replace("{url}", url))
    assert result.stdout.count("\n") == 1
    if code < 3:
        text, bar, performance = result.stdout.strip().partition(" | ")
        assert (bar, "|" in text) == (" | ", False)
        assert _PERFORMANCE.fullmatch(performance)


def test_json(url: str) -> None:
    """Every figure with its limits and level."""
    told = json.loads(check(url, "--json", "--max-pending", "2").stdout)
    assert told["level"] == "critical"
    found = {(one["queue"], figure.pop("what")): figure for one in told["queues"] for figure in one["figures"]}
    assert found["a", "pending"] == {"value": 3, "warn": None, "limit": 2, "level": "critical"}
    assert _AGE <= found["b|c", "age"]["value"] < _AGE + 60
