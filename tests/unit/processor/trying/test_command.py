"""`fmq try`."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from jsonschema_rs import validator_for

from fmq.cli.main import fmq_command
from fmq.message import Incoming
from fmq.outcome import Dead, RetryLater
from fmq.store.backends import open_store

MODULE = """
import logging
from dataclasses import dataclass
import fmq

@dataclass
class Reading:
    temperature: float

def setup() -> list[str]:
    return ["made by setup"]

def handle(message: fmq.Message, reading: Reading, made: list[str]):
    print("printed by the handler")
    logging.getLogger("mine").info("got %s of %s from %s", reading.temperature, message.properties.user("site"), made)
    if reading.temperature > 100:
        raise fmq.Retry(after=60, reason="too hot")
    if reading.temperature < 0:
        raise NameError("a mistake")
"""
_SCHEMA = Path(__file__).parents[4] / "docs" / "cli.schema.json"
WARM = '{"temperature": 20.5}'


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "tried_module.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("FMQ_HANDLER", "tried_module:handle")
    root = logging.getLogger()
    before = root.handlers[:], root.level
    names = ("fmq", "fmq_processor", "fmq_processor.handlers", "fmq_processor.engine.mistakes")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers[:], root.level = before[0], before[1]
    logging.captureWarnings(False)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def try_(*arguments: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(fmq_command, ["try", *arguments], input=given, standalone_mode=False)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--payload", WARM], 0, "Done in "),
        (["--payload", '{"temperature": 101}'], 5, "Retry in 60.0 s, after "),
        (["--payload", '{"temperature": -1}', "--max-retries", "0"], 6, "NameError: a mistake"),
        (["--payload", "{}"], 6, "body.temperature: missing"),
        (["--payload", WARM, "--decode", "json", "--filter", "qos == `2`"], 7, "Skipped: the filter"),
        (["--payload", WARM, "--qos", "2", "--decode", "json", "--filter", "qos == `2`"], 0, "Done in "),
        (["log", "--payload", "hello"], 0, "Done in "),
    ],
)
def test_the_exit_code_and_a_sentence_say_the_outcome(arguments: list[str], code: int, told: str) -> None:
    """A code of its own for each outcome."""
    result = try_(*arguments)
    assert result.return_value == code, result.output
    assert told in result.stdout
    assert "printed by the handler" not in result.stdout


def test_a_handlers_prints_and_logs_go_to_standard_error() -> None:
    """Payload from a file, with a user property; set-up runs before."""
    Path("payload.json").write_text(WARM)
    result = try_("--payload", "@payload.json", "--user", "site=plant-7")
    assert result.return_value == 0
    assert "printed by the handler" in result.stderr
    assert "got 20.5 of plant-7 from ['made by setup']" in result.stderr


def test_json_is_one_object_with_the_logs() -> None:
    """For programs; the payload comes from standard input."""
    result = try_("--payload", "-", "--json", given=b'{"temperature": 101}')
    found = json.loads(result.stdout)
    validator_for(json.loads(_SCHEMA.read_text(encoding="utf-8"))).validate(found)
    assert found.pop("seconds") >= 0
    assert found.pop("logs") == [
        {"level": "INFO", "logger": "mine", "message": "got 101.0 of None from ['made by setup']"}
    ]
    assert found == {"command": "try", "outcome": "retry", "delay": 60.0, "reason": "too hot", "cause": "asked"}
    assert result.return_value == 5


def test_a_stored_message_is_tried_and_stays_as_it_is() -> None:
    """Also a dead letter, as for its first attempt; nothing is stored."""
    with open_store("sqlite:///mqtt_queue.db") as store:
        store.declare("q")
        store.put([Incoming("q", "t", WARM.encode(), 1.0)])
        for _ in range(4):
            store.settle([(store.claim("q", 1, lease=60)[0], RetryLater(0.0))])
        store.settle([(store.claim("q", 1, lease=60)[0], Dead("was broken"))])
        result = try_("--queue", "q", "--message", "1")
        assert result.return_value == 0, result.output
        assert [letter.reason for letter in store.dead_letters("q")] == ["was broken"]
        assert (store.stats("q").stored, store.stats("q").done) == (1, 0)


ROUTES = """
[[route]]
name = "fire"
queues = ["alarms/+"]
topics = ["alarms/fire"]
handler = "tried_module:handle"
max_retries = 0
[[route]]
queues = ["alarms/+", "sensors/#"]
handler = "log"
"""


def test_a_route_of_the_file_has_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that matches its queue and its topic, with the route's own settings; a handler by name needs no route."""
    monkeypatch.delenv("FMQ_HANDLER")
    Path("fmq.toml").write_text(ROUTES)
    assert "NameError" in try_("--topic", "alarms/fire", "--payload", '{"temperature": -1}').stdout
    assert try_("--topic", "alarms/water", "--payload", "x").return_value == 0
    assert try_("--topic", "sensors/a/b", "--payload", "x").return_value == 0
    assert try_("log", "--topic", "elsewhere", "--payload", "x").return_value == 0
    error = try_("--topic", "elsewhere", "--payload", "x").exception
    assert "No route takes a message of the queue 'elsewhere'" in getattr(error, "message", "")
    assert "routes: fire, " in getattr(error, "message", "")


def test_the_only_route_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has only the messages that it would get in a processor. Without routes, the handler has every message."""
    monkeypatch.delenv("FMQ_HANDLER")
    Path("fmq.toml").write_text('[[route]]\nqueues = ["alarms/+"]\n')
    assert try_("--topic", "alarms/water", "--payload", "x").return_value == 0
    assert "No route takes" in getattr(try_("--topic", "elsewhere", "--payload", "x").exception, "message", "")
    Path("fmq.toml").write_text('[processor]\nqueues = ["alarms/+"]\n')
    assert try_("--topic", "elsewhere", "--payload", "x").return_value == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Give --payload TEXT"),
        (["--payload", "@missing"], "'missing' can't be read (No such file or directory)"),
        (["--payload", "x", "--user", "site"], "expected NAME=VALUE"),
        (["--payload", "x", "--topic", "alarms/+"], "'alarms/+': the topic of a message has no wildcards"),
        (["--message", "1"], "--message needs --queue"),
        (["--message", "1", "--queue", "q", "--payload", "x"], "no --payload"),
        (["tried_module:nothing", "--payload", "x"], "has no 'nothing'"),
        (["--payload", "x", "--decode", "jsn"], "'jsn' is not a decoder"),
        (["--message", "1", "--queue", "q"], "does not exist"),
    ],
)
def test_wrong_calls_are_errors(arguments: list[str], told: str) -> None:
    """With what is expected."""
    error = try_(*arguments).exception
    assert told in (getattr(error, "message", None) or str(error))
