"""Secrets stay where they are: in no log, error, metric, status, or file that fmq writes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from support.broker import Broker
from support.processes import FMQ, Processes

_SECRET = "s3cr3t/with:odd@signs"  # noqa: S105 - of this test alone
_FORMS = tuple(form.encode() for form in (_SECRET, quote(_SECRET, safe="")))


@pytest.fixture
def locked_broker(tmp_path: Path) -> Iterator[Broker]:
    """One that wants a password."""
    folder = tmp_path / "broker"
    folder.mkdir()
    passwords = folder / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", passwords, "sensor", _SECRET], check=True)
    passwords.chmod(0o644)
    with Broker(folder, [f"password_file {passwords}"], anonymous=False) as running:
        yield running


def _holders(folder: Path) -> list[str]:
    """The files below ``folder`` that have the secret in them."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "broker" not in path.parts and any(form in path.read_bytes() for form in _FORMS)
    ]


def _environ(given: dict[str, object], url: str) -> dict[str, str]:
    settings = {**given, "FMQ_BROKER_URL": url, "FMQ_TOPICS": "dstdb", "FMQ_CONNECT_ATTEMPTS": 1}
    return {**os.environ, **{name: str(value) for name, value in settings.items()}}


@pytest.mark.parametrize("way", ["variable", "file", "url"])
def test_a_password_is_in_nothing_that_a_listener_writes_or_serves(
    locked_broker: Broker, fmq: Processes, tmp_path: Path, way: str
) -> None:
    """At the most talkative log level, with the right password and with a wrong one; its file is not the store's."""
    given: dict[str, object] = {"FMQ_BROKER_USERNAME": "sensor", "FMQ_LOG_LEVEL": "DEBUG"}
    url = locked_broker.url
    match way:
        case "variable":
            given["FMQ_BROKER_PASSWORD"] = _SECRET
        case "file":
            secrets = tmp_path / "broker" / "secret"
            secrets.write_text(_SECRET + "\n", encoding="utf-8")
            given["FMQ_BROKER_PASSWORD_FILE"] = secrets
        case _:
            url = url.replace("://", f"://sensor:{quote(_SECRET, safe='')}@")
            del given["FMQ_BROKER_USERNAME"]
    listener = fmq.start("listen", "dstdb", FMQ_BROKER_URL=url, **given)
    listener.wait_to_say("Connected and subscribed successfully")
    processor = fmq.start("process", "dstdb", **{**given, "FMQ_BROKER_URL": url})
    processor.wait_to_say("Starting processor")
    served = [one.get(path) for one in (listener, processor) for path in ("metrics", "readyz", "healthz")]
    locked_broker.stop()
    listener.wait_to_say("next attempt in", 30)
    served.append(listener.get("readyz"))
    assert listener.terminate() == processor.terminate() == 0
    wrong = subprocess.run(
        [FMQ, "listen", "dstdb/#/x"],
        env={
            **os.environ,
            **{name: str(value) for name, value in given.items()},
            "FMQ_BROKER_URL": url,
            "FMQ_BATCH": "x",
        },
        capture_output=True,
        cwd=tmp_path,
        check=False,
    )
    assert wrong.returncode == 2
    for command in (["config"], ["config", "--json"], ["doctor", "--json"]) if way == "url" else (["config"],):
        told = subprocess.run([FMQ, *command], env=_environ(given, url), capture_output=True, cwd=tmp_path, check=False)
        assert not any(form in told.stdout + told.stderr for form in _FORMS), command
    assert not any(form in text.encode() for text in served for form in _FORMS)
    assert not any(form in wrong.stdout + wrong.stderr for form in _FORMS)
    assert _holders(tmp_path) == []
    (tmp_path / "leak").write_bytes(b"..." + _FORMS[0])
    assert _holders(tmp_path) == ["leak"], "the search finds nothing"


def test_a_refused_password_is_not_shown(locked_broker: Broker, fmq: Processes, tmp_path: Path) -> None:
    """The broker's refusal is reported without what was sent."""
    listener = fmq.start(
        "listen",
        "dstdb",
        FMQ_BROKER_URL=locked_broker.url,
        FMQ_BROKER_USERNAME="nobody",
        FMQ_BROKER_PASSWORD=_SECRET,
        FMQ_LOG_LEVEL="DEBUG",
        FMQ_CONNECT_ATTEMPTS=1,
    )
    assert listener.wait() == 1
    assert "refused the connection" in listener.text
    assert _holders(tmp_path) == []
