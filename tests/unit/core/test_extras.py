"""What is not installed says what installs it."""

import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry

from fmq.errors import HandlerError, SettingsError
from fmq.extras import missing_command, missing_part
from fmq.handler import find_handler
from fmq.store.backends import backend_of
from fmq_processor.handlers import BUILTIN
from fmq_processor.handlers.sql.settings import SqlSettings


@pytest.mark.parametrize(
    ("module", "what"),
    [
        ("httptools", "'fmq-mqtt[webhook]'"),
        ("sqlalchemy.exc", "'fmq-mqtt[sql]'"),
        ("fmq_listener", "fmq-mqtt"),
        ("mine", None),
        ("httptools_more", None),
    ],
)
def test_the_extra_of_a_module(module: str, what: str | None) -> None:
    """Modules that no part of fmq brings are nobody's extra."""
    told = missing_part(ModuleNotFoundError(name=module))
    assert (told or "").endswith(f"Install it with: pip install {what}" if what else "")
    assert (told is None) == (what is None)


def test_commands_of_other_parts() -> None:
    """Only those that fmq has."""
    assert (missing_command("web") or "").endswith("pip install 'fmq-mqtt[web]'")
    assert (missing_command("process") or "").endswith("pip install fmq-mqtt")
    assert missing_command("nonsense") is None


def test_a_built_in_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its package is named with the extra; a module that a user's handler lacks is reported as it is."""
    monkeypatch.setitem(sys.modules, "httptools", None)
    for name in ("connection", "pool", "client"):
        monkeypatch.delitem(sys.modules, f"fmq_processor.handlers.webhook.{name}", raising=False)
    monkeypatch.delitem(sys.modules, "fmq_processor.handlers.webhook.handler", raising=False)
    with pytest.raises(HandlerError, match=r"'webhook' can't be imported: .* pip install 'fmq-mqtt\[webhook\]'"):
        find_handler("webhook", BUILTIN)
    with pytest.raises(HandlerError, match="ModuleNotFoundError: No module named 'nowhere'"):
        find_handler("nowhere:handle", BUILTIN)


def test_urls_of_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a store and of the handler sql."""
    monkeypatch.setattr("fmq.store.backends._BACKENDS", {"postgres": "psycopg"})
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(
        SettingsError, match=r"with a postgres: URL can't be used: .* pip install 'fmq-mqtt\[postgres\]'"
    ):
        backend_of("postgres://127.0.0.1/fmq")
    settings = SqlSettings.model_validate({"sql_url": "postgresql://127.0.0.1/x"})
    with pytest.raises(SettingsError, match=r"FMQ_SQL_URL: .* pip install 'fmq-mqtt\[postgres\]'"):
        find_handler("sql", BUILTIN).make(settings, CollectorRegistry())


def test_the_command() -> None:
    """A part that is missing gives an error of usage, with the command to run."""
    run = "import sys; sys.modules['fmq_web.__main__'] = None; from fmq.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", run, "web"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "The command web can't be used: the Python package fmq_web is not installed" in done.stderr
    assert "pip install 'fmq-mqtt[web]'" in done.stderr
