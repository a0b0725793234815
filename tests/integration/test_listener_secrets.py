"""Secrets and certificates that are rotated while the listener runs: each connection uses those of its time."""

import shutil
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.broker import Broker, free_port
from support.certificates import Certificates
from support.processes import FmqProcess, Processes

_SUBSCRIBED = "Connected and subscribed successfully"
_FAST = {"FMQ_RECONNECT_MAX_SECONDS": "0.2"}


def _passwords(path: Path, password: str) -> None:
    subprocess.run(["mosquitto_passwd", "-b", "-c", path, "ann", password], check=True, capture_output=True)
    path.chmod(0o644)


def _in_place(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _by_rename(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.rename(path)


def test_a_password_that_is_too_long(tmp_path: Path, fmq: Processes, broker: Broker) -> None:
    """Written over the good one by accident: the last good value stays in use. At the start: exit 2, and not shown."""
    secret = tmp_path / "secret"
    secret.write_text("good")
    settings = {"FMQ_BROKER_URL": broker.url, "FMQ_BROKER_USERNAME": "ann", "FMQ_BROKER_PASSWORD_FILE": secret, **_FAST}
    listener = fmq.start("listen", "a", **settings)
    listener.wait_to_say(_SUBSCRIBED)
    secret.write_text("much" * 20_000)
    broker.stop()
    broker.start()
    listener.wait_to_say(_SUBSCRIBED, times=2)
    assert listener.said("can't be used any more (it is longer than the 65535 bytes that MQTT allows")
    assert listener.terminate() == 0
    refused = fmq.start("listen", "a", **settings)
    assert refused.wait() == 2
    assert "longer than the 65535 bytes" in refused.text
    assert "muchmuch" not in refused.text + listener.text


@pytest.mark.parametrize("version", ["5", "3.1.1"])
@pytest.mark.parametrize("write", [_in_place, _by_rename])
def test_a_rotated_password(
    tmp_path: Path, ends: ExitStack, fmq: Processes, version: str, write: Callable[[Path, str], None]
) -> None:
    """Read again before each connection; a refusal in between does no harm."""
    passwords, secret = tmp_path / "passwords", tmp_path / "secret"
    _passwords(passwords, "first")
    write(secret, "first\n")
    broker = Broker(tmp_path / "broker", [f"password_file {passwords}"], anonymous=False)
    ends.callback(broker.stop)
    broker.start()
    listener = fmq.start(
        "listen",
        "a",
        FMQ_BROKER_URL=broker.url,
        FMQ_BROKER_USERNAME="ann",
        FMQ_BROKER_PASSWORD_FILE=secret,
        FMQ_MQTT_VERSION=version,
        FMQ_BROKER_STATS="true",
        **_FAST,
    )
    listener.wait_to_say(_SUBSCRIBED)
    broker.stop()
    _passwords(passwords, "second, and longer")
    broker.start()
    listener.wait_to_say("Not authorized", times=2)
    write(secret, "second, and longer\n")
    listener.wait_to_say(_SUBSCRIBED, times=2)
    assert listener.terminate() == 0
    assert "second, and" not in listener.text


def _serve(folder: Path, port: int, files: Certificates) -> Broker:
    broker = Broker(folder, scheme="mqtts")
    broker.port = port
    broker.configure(
        [
            f"cafile {files.ca}",
            f"certfile {files.server_cert}",
            f"keyfile {files.server_key}",
            "require_certificate true",
        ]
    )
    return broker.start()


def test_rotated_certificates(tmp_path: Path, ends: ExitStack, fmq: Processes) -> None:
    """The CA, the client's certificate and its key are all new: the listener gets in without a restart."""
    old, new = Certificates(tmp_path / "old"), Certificates(tmp_path / "new")
    port = free_port()
    mounted = tmp_path / "mounted"
    shutil.copytree(tmp_path / "old", mounted)
    broker = _serve(tmp_path / "broker", port, old)
    ends.callback(broker.stop)
    listener = _listen_with(fmq, broker, mounted)
    listener.wait_to_say(_SUBSCRIBED)
    broker.stop()
    broker = _serve(tmp_path / "broker", port, new)
    ends.callback(broker.stop)
    listener.wait_to_say("failed", times=2)
    for name in ("ca.pem", "client.pem", "client.key"):
        shutil.copy(new.ca.with_name(name), mounted / name)
    listener.wait_to_say(_SUBSCRIBED, times=2)
    assert listener.terminate() == 0


def test_a_certificate_that_is_gone_for_a_while(tmp_path: Path, ends: ExitStack, fmq: Processes) -> None:
    """The reason is in the log, the attempts go on, and once it is back the listener is."""
    files = Certificates(tmp_path / "files")
    broker = _serve(tmp_path / "broker", free_port(), files)
    ends.callback(broker.stop)
    listener = _listen_with(fmq, broker, tmp_path / "files")
    listener.wait_to_say(_SUBSCRIBED)
    hidden = files.client_key.rename(tmp_path / "hidden")
    broker.stop()
    broker.start()
    listener.wait_to_say("FMQ_TLS_KEY_FILE")
    hidden.rename(files.client_key)
    listener.wait_to_say(_SUBSCRIBED, times=2)
    assert listener.terminate() == 0


def _listen_with(fmq: Processes, broker: Broker, files: Path) -> FmqProcess:
    return fmq.start(
        "listen",
        "a",
        FMQ_BROKER_URL=broker.url,
        FMQ_TLS_CA_FILE=files / "ca.pem",
        FMQ_TLS_CERT_FILE=files / "client.pem",
        FMQ_TLS_KEY_FILE=files / "client.key",
        **_FAST,
    )
