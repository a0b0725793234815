"""What is shown: nothing that a terminal acts on, no forged log lines, no secrets."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from fmq.cli.main import fmq_command
from fmq.errors import SettingsError
from fmq.message import Incoming
from fmq.outcome import Dead
from fmq.service import log
from fmq.service.environment import load
from fmq.service.reporting.store_collector import StoreCollector
from fmq.service.settings import Settings
from fmq.store.backends import open_store
from fmq.text import only_origin, plain, plain_lines, without_long_words, without_password
from fmq_processor.handlers.webhook.settings import WebhookSettings

HOSTILE = "a\x1b]0;owned\x07\x1b[2J\n[2026-01-01 00:00:00] forged\r\x00\x9b31m\u202e\u2066\u200f\ufeff\x7f"


def is_tame(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@pytest.fixture
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store whose queue, topics, payloads and reasons are hostile."""
    url = f"sqlite:///{tmp_path / 'q.db'}"
    with open_store(url) as queue:
        queue.declare(HOSTILE)
        queue.put([Incoming(HOSTILE, HOSTILE, HOSTILE.encode(), 1_764_000_000.0)] * 2)
        (claim,) = queue.claim(HOSTILE, 1, lease=60)
        queue.settle([(claim, Dead(HOSTILE))])
        queue.pause(HOSTILE, HOSTILE)
    return url


def test_long_words() -> None:
    """Are shortened, with their length; the rest of the text stays, so that what is expected can still be read."""
    assert without_long_words(f"x='{'9' * 6000}': expected 1") == f"x='{'9' * 297}… (6,005 characters) expected 1"
    assert without_long_words("a " * 1000) == "a " * 1000


def test_escaping() -> None:
    """Printable text stays as it is, in any script; the rest is escaped; a line stays a line."""
    assert plain("Größe 温度 é ok") == "Größe 温度 é ok"
    assert plain("a\nb\x1b[0m\u202e") == r"a\nb\x1b[0m\u202e"
    assert plain("\udc80") == r"\udc80"
    assert plain_lines("one\ntwo\r") == "one\ntwo\\r"


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["status", "--watch", "--count", "1"],
        ["peek", HOSTILE],
        ["dead", "list", HOSTILE],
        ["dead", "requeue", HOSTILE, "--all", "--dry-run"],
        ["dead", "show", HOSTILE, "999"],
        ["resume", HOSTILE],
        ["pause", HOSTILE],
        ["check"],
        ["doctor", "--skip", "broker", "--skip", "handler"],
        ["config"],
        ["peek", "no\x1b[2J such"],
    ],
)
def test_commands_show_nothing_that_a_terminal_acts_on(
    store: str, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Whatever the names, topics, payloads and reasons in the store are."""
    monkeypatch.setenv("FMQ_QUEUE_URL", store)
    monkeypatch.setenv("FMQ_TOPICS", HOSTILE.replace("\x00", "").replace("\r", ""))
    result = CliRunner().invoke(fmq_command, command)
    assert is_tame(result.output), result.output
    assert "\n[2026-01-01 00:00:00] forged" not in result.output


def test_text_logs_can_not_be_forged(root_logger: None, capfd: pytest.CaptureFixture[str]) -> None:  # noqa: ARG001
    """Neither by a message nor by the text of an exception nor by the subject."""
    log.configure(service="listener", level="INFO", style="text", subject=HOSTILE)
    logging.getLogger("fmq.x").info("Topic %s", HOSTILE)
    error = ValueError(HOSTILE)
    logging.getLogger("fmq.x").error("failed", exc_info=error)
    told = capfd.readouterr().err
    assert is_tame(told)
    assert len([line for line in told.splitlines() if line.startswith("[")]) == 2


def test_json_logs_are_ascii(root_logger: None, capfd: pytest.CaptureFixture[str]) -> None:  # noqa: ARG001
    """One line per event, in which JSON escapes everything."""
    log.configure(service="listener", level="INFO", style="json")
    logging.getLogger("fmq.x").info("Topic %s", HOSTILE, extra={"topic": HOSTILE})
    (line,) = capfd.readouterr().err.splitlines()
    assert line.replace("\x7f", "").isprintable()
    assert line.isascii()
    assert json.loads(line)["topic"] == HOSTILE


def test_metrics_can_be_read(store: str) -> None:
    """A label's value is escaped as the text format says, and comes back as it was."""
    registry = CollectorRegistry()
    with open_store(store) as queue:
        registry.register(StoreCollector(queue))
        text = generate_latest(registry).decode()
    found = {s.labels["queue"] for f in text_string_to_metric_families(text) for s in f.samples if "queue" in s.labels}
    assert found == {HOSTILE}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mqtt://ann:my pass@host", "mqtt://ann:(hidden)@host"),
        ("mqtt://ann:a@b:c/d?e@host:1883", "mqtt://ann:(hidden)@host:1883"),
        ("mqtt://ann:\tx\n@host", "mqtt://ann:(hidden)@host"),
        ("mqtt:/ann:secret@host", "mqtt:/ann:(hidden)@host"),
        ("ann:secret@host", "ann:(hidden)@host"),
        ("mqtt://:secret@host", "mqtt://:(hidden)@host"),
        ("'mqtt://ann:se cret@host'", "'mqtt://ann:(hidden)@host'"),
        ("mqtt://an n:secret@host", "mqtt://an n:(hidden)@host"),
        ("mqtt://[::1]:1883", "mqtt://[::1]:1883"),
        ("sqlite:////data/q.db", "sqlite:////data/q.db"),
        ("sqlite:////data/q.db?x=1", "sqlite:////data/q.db?x=1"),
        ("postgresql://fmq@host/fmq?sslmode=require", "postgresql://fmq@host/fmq?sslmode=require"),
        ("mqtt://host?Sig=secret", "mqtt://host?(hidden)"),
        ("mqtt//ann:secret@host", "mqtt//ann:(hidden)@host"),
        ("mqtt:///ann:secret@host", "mqtt:///ann:(hidden)@host"),
        ("//ann:secret@host", "//ann:(hidden)@host"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    """Whatever characters it has."""
    assert without_password(url) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example/services/T0/secret", "https://hooks.example/(hidden)"),
        ("https://host:8443/?token=secret", "https://host:8443/(hidden)"),
        ("https://host?token=secret", "https://host/(hidden)"),
        ("https://secret@host/x", "https://host/(hidden)"),
        ("'https://host/secret#x'", "'https://host/(hidden)'"),
        ("https://host", "https://host"),
        ("host/secret", "host/(hidden)"),
        ("https://host:443/x@secret", "https://(hidden)/(hidden)"),
        ("https://ann:se/cret@host/x", "https://(hidden)/(hidden)"),
        ("https://ann:secret@host:1/x", "https://host:1/(hidden)"),
    ],
)
def test_of_a_capability_only_the_origin_is_shown(url: str, shown: str) -> None:
    """Who knows the path or the query of a webhook can call it."""
    assert only_origin(url) == shown


def test_a_wrong_webhook_url_is_refused_without_its_path() -> None:
    """The error names the setting and the host."""
    for url in ("ftp://host/secret?secret", "https://host:port/secret", "host/secret", "https:///secret"):
        with pytest.raises(SettingsError) as caught:
            load(WebhookSettings, {}, {"FMQ_WEBHOOK_URL": url})
        assert "secret" not in str(caught.value).replace("with the secret", ""), url


def test_a_wrong_queue_url_is_refused_without_its_password() -> None:
    """Whatever is wrong with it."""
    for url in ("postgresql:///u:sec ret@host/db", "mysql:///u:secret@[host/db"):
        with pytest.raises(SettingsError) as caught:
            open_store(url)
        assert "sec" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"FMQ_TOPICS": "a\r"}, "FMQ_TOPICS has a carriage return (U+000D) in its value"),
        ({"FMQ_TOPICS": "a\r,b"}, "FMQ_TOPICS has a carriage return"),
        ({"FMQ_HTTP_PORT": "9464\r"}, "FMQ_HTTP_PORT has a carriage return"),
        ({"FMQ_TOPICS": '"a"'}, "FMQ_TOPICS has a double quote (U+0022) at both ends of its value"),
        ({"FMQ_TOPICS": "'a/b'"}, "FMQ_TOPICS has a single quote (U+0027) at both ends of its value"),
        ({"FMQ_TOPICS": "\ufeffa"}, "FMQ_TOPICS begins with a byte order mark (U+FEFF)"),
        ({"\ufeffFMQ_TOPICS": "a"}, "The variable \\ufeffFMQ_TOPICS has no effect: a byte order mark (U+FEFF)"),
        ({'"FMQ_TOPICS': "a"}, "has no effect: a double quote (U+0022)"),
    ],
)
def test_damage_of_an_environment_file_is_named(environ: dict[str, str], told: str) -> None:
    """Docker and systemd take the lines of such files as they are: carriage returns, quotes and a byte order mark stay."""
    with pytest.raises(SettingsError) as caught:
        load(Settings, {}, environ)
    assert told in str(caught.value)
    assert is_tame(str(caught.value))
