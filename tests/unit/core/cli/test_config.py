"""`fmq config`: every setting, its value, and where that comes from."""

import json
import tomllib
from pathlib import Path
from typing import Any

import click
import jsonschema_rs
import pytest
from click.testing import CliRunner, Result

from docs.pages import ROOT, pages
from fmq.cli.main import fmq_command
from fmq.errors import SettingsError
from fmq.service.config.file import ConfigFile
from fmq.service.config.strangers import unknown_keys
from fmq_listener.settings import ListenerSettings

FILE = """
[broker]
url = "mqtt://anna:hunter2@host"
password_file = "secret"
[listener]
topics = ["a,b", "c"]
inflight_bytes = "1MiB"
[processor]
sleep = "250ms"
webhook.url = "https://host/token"
[[route]]
name = "fire"
queues = ["c"]
topics = ["c"]
handler = "webhook"
webhook.secrets = "whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVy"
[[route]]
batch = 7
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret").write_text("a secret\n")


def written(text: str) -> None:
    """Write a configuration file that only its owner can read."""
    Path("fmq.toml").write_text(text, encoding="utf-8")
    Path("fmq.toml").chmod(0o600)


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """The command in the environment ``env``."""
    return CliRunner().invoke(fmq_command, ["config", *arguments], env=env, standalone_mode=False)


def shown(*arguments: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    """What it prints as JSON."""
    result = run("--json", *arguments, env=env)
    assert result.return_value == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)["sections"]
    return found


def test_where_each_value_comes_from() -> None:
    """A variable, a line of the file, or the default; of routes too, with their names and keys."""
    written(FILE)
    found = shown(env={"FMQ_LOG_LEVEL": "ERROR", "FMQ_BROKER_USERNAME": "anna"})
    assert found["listener"]["log_level"] == {"value": "ERROR", "origin": "FMQ_LOG_LEVEL"}
    assert found["listener"]["topics"] == {"value": "a,b,c", "origin": "fmq.toml:6"}
    assert found["listener"]["inflight_bytes"] == {"value": "1MiB", "origin": "fmq.toml:7"}
    assert found["listener"]["keepalive_seconds"] == {"value": "1m", "origin": "default"}
    assert found["listener"]["broker_url"] == {"value": "mqtt://anna:(hidden)@host", "origin": "fmq.toml:3"}
    assert found["listener"]["broker_password"] == {"value": "(hidden)", "origin": "fmq.toml:4 secret"}
    assert found["store"]["config"] == {"value": "fmq.toml", "origin": "working directory"}
    assert found.keys() == {"listener", "processor", "store", "web", "route fire", "route log"}
    fire = found["route fire"]
    assert fire["topics"] == {"value": "c", "origin": "fmq.toml:14"}
    assert fire["queues"] == {"value": "c", "origin": "fmq.toml:13"}
    assert fire["sleep"] == {"value": "250ms", "origin": "fmq.toml:9"}
    assert fire["webhook.url"] == {"value": "https://host/(hidden)", "origin": "fmq.toml:10"}
    assert fire["webhook.secrets"] == {"value": "(hidden)", "origin": "fmq.toml:16"}
    assert "log_level" not in fire
    assert found["route log"]["batch"] == {"value": "7", "origin": "fmq.toml:18"}
    assert not any(one in json.dumps(found) for one in ("hunter2", "whsec_"))


def test_changed_and_chosen() -> None:
    """Only the sections that are named, and only what differs from the defaults."""
    written(FILE)
    assert shown("--changed", "route log") == {
        "route log": {
            "batch": {"value": "7", "origin": "fmq.toml:18"},
            "sleep": {"value": "250ms", "origin": "fmq.toml:9"},
        }
    }
    result = run("nothing")
    assert "Unknown service nothing. Known: listener, processor, store, web, route fire, route log" in str(
        result.exception
    )


def test_a_file_that_is_named() -> None:
    """By a flag or a variable."""
    Path("other.toml").write_text("[web]\nport = 80\n")
    for found in (shown("web", "--config", "other.toml"), shown("web", env={"FMQ_CONFIG": "other.toml"})):
        assert found["web"]["web_port"] == {"value": "80", "origin": "other.toml:2"}


def test_what_services_would_reject() -> None:
    """It is shown, and each problem is reported once, with exit code 2."""
    written("[listener]\ninflight = 0\n[service]\nlog_level = 'LOUD'\n[[route]]\nbatch = 0\n")
    result = run(env={"FMQ_BATHC": "1"})
    assert result.return_value == 2
    assert "FMQ_INFLIGHT" in result.stdout
    assert result.stderr.splitlines() == [
        "fmq.toml:4: log_level='LOUD': expected DEBUG, INFO, WARNING or ERROR",
        "fmq.toml:2: inflight='0': expected a whole number from 1 to 65535, such as 10000",
        "Unknown setting FMQ_BATHC. Did you mean FMQ_BATCH?",
        "fmq.toml:6: batch='0': expected a whole number from 1 to 100000, such as 100",
    ]
    written("[listener\n")
    result = run()
    assert result.return_value == 2
    assert result.stderr == "fmq.toml:1:10: Expected ']' at the end of a table declaration\n"


def test_a_file_from_variables() -> None:
    """It has what the variables say, in the file's form, and no secret; read instead of them, it means the same."""
    env = {
        "FMQ_BROKER_URL": "mqtt://host",
        "FMQ_BROKER_USERNAME": "5",
        "FMQ_BROKER_PASSWORD": "hunter2",
        "FMQ_WEB_PASSWORD_FILE": "secret",
        "FMQ_TOPICS": "a, b/#",
        "FMQ_RETENTION_SECONDS": "172800",
        "FMQ_DEAD_RETENTION_SECONDS": "forever",
        "FMQ_GRACE_SECONDS": "0",
        "FMQ_BATCH": "20",
        "FMQ_ORDERED": "yes",
        "FMQ_HANDLER": "webhook",
        "FMQ_WEBHOOK_URL": 'https://host/a?b="c"',
        "FMQ_WEBHOOK_HEADERS": '{"X-A": "b"}',
        "FMQ_INFLIGHT_BYTES": "2097152",
        "FMQ_FILTER": "body.kind == 'x'",
        "FMQ_DECODE": "json",
    }
    result = run("--toml", env=env)
    assert result.return_value == 0, result.output
    assert "hunter2" not in result.output
    assert "# password: a secret. Name its file in password_file" in result.output
    tables = tomllib.loads(result.stdout)
    assert tables == {
        "broker": {"url": "mqtt://host", "username": "5"},
        "listener": {"topics": ["a", "b/#"], "inflight_bytes": "2MiB"},
        "store": {"retention_seconds": "2d", "dead_retention_seconds": "forever"},
        "service": {"grace_seconds": 0},
        "processor": {
            "queues": ["a", "b/#"],
            "batch": 20,
            "ordered": True,
            "handler": "webhook",
            "filter": "body.kind == 'x'",
            "decode": "json",
            "webhook": {"url": 'https://host/a?b="c"', "headers": '{"X-A": "b"}'},
        },
        "web": {"password_file": "secret"},
    }
    before = shown(env=env)
    written(result.stdout)
    after = shown(env={"FMQ_BROKER_PASSWORD": "hunter2"})
    values = [
        {
            section: {name: one["value"] for name, one in rows.items() if name != "config"}
            for section, rows in found.items()
        }
        for found in (before, after)
    ]
    assert values[0]["listener"] | {"topics": "a,b/#"} == values[1]["listener"]
    assert values[0]["handler webhook"] == values[1]["handler webhook"]


def test_a_file_from_a_file() -> None:
    """Its routes are in it as they were."""
    written(FILE.replace('webhook.secrets = "whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVy"\n', ""))
    result = run("--toml", env={"FMQ_BROKER_USERNAME": "anna"})
    assert result.return_value == 0, result.output
    assert (
        tomllib.loads(result.stdout)["route"]
        == tomllib.loads(FILE.replace('webhook.secrets = "whsec_aHVudGVyMmh1bnRlcjJodW50ZXIyaHVudGVy"\n', ""))["route"]
    )
    assert isinstance(run("--toml", env={"FMQ_BATCH": "x"}).exception, SettingsError)


def test_the_schema() -> None:
    """It is printed as it is shipped, and is a valid JSON schema."""
    result = run("--schema")
    assert result.stdout == (ROOT / "docs/fmq.schema.json").read_text(encoding="utf-8")
    jsonschema_rs.meta.validate(json.loads(result.stdout))


def test_files_that_fmq_ships_fit_the_schema() -> None:
    """The examples of all pages, and each configuration file in the repository."""
    validator = jsonschema_rs.validator_for((ROOT / "docs/fmq.schema.json").read_text(encoding="utf-8"))
    texts = [FILE]
    texts += [
        path.read_text(encoding="utf-8")
        for room in ("deploy", "k8s", "examples")
        for path in (ROOT / room).rglob("fmq*.toml")
    ]
    for page in pages():
        text = page.path.read_text(encoding="utf-8")
        if "fmq.toml" in text:
            texts += [part.split("\n```")[0] for part in text.split("```toml\n")[1:]]
    assert len(texts) > 3
    for text in texts:
        tables = tomllib.loads(text)
        assert [str(one) for one in validator.iter_errors(tables)] == []
        assert list(unknown_keys(ConfigFile("fmq.toml", tables, text), None)) == []


@pytest.mark.parametrize(
    "text",
    [
        "[broker]\nurll = 'x'",
        "[listener]\ninflight = 0",
        "[listener]\ninflight = true",
        "[listener]\ntopics = 'a'",
        "[listener]\nkeepalive_seconds = '5x'",
        "[store]\nretention_seconds = 'soon'",
        "[service]\nlog_level = 'LOUD'",
        "[[route]]\nbatches = 3",
        "[route]\nbatch = 3",
        "batch = 3",
        "[[route]]\nwebhook.headers = {a = 1}",
        "[[route]]\nhandler = 'no'",
    ],
)
def test_mistakes_that_the_schema_finds(text: str) -> None:
    """What an editor marks."""
    validator = jsonschema_rs.validator_for((ROOT / "docs/fmq.schema.json").read_text(encoding="utf-8"))
    assert not validator.is_valid(tomllib.loads(text))


def test_the_flags_of_services_name_the_file() -> None:
    """Each command that reads settings has --config."""
    for name in ("listen", "process", "web", "status", "doctor"):
        command = fmq_command.get_command(click.Context(fmq_command), name)
        assert command is not None
        assert any("--config" in one.opts for one in command.params), name
    assert "config" in ListenerSettings.model_fields
