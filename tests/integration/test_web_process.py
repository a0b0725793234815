"""`fmq web` as a process: its start without a store, its end with open streams, and its exit codes."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from fmq.store.backends import open_store
from support.processes import FmqProcess, Processes
from support.wait import wait_for


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as made:
        yield made


def _url(process: FmqProcess) -> str:
    return str(process.wait_to_say("Serving the web page")[0]["url"])


def _get(url: str, **headers: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_it_starts_without_a_store_and_works_once_there_is_one(processes: Processes, tmp_path: Path) -> None:
    """It says so on its page and on /readyz, makes no store, and needs no restart."""
    process = processes.start("web", FMQ_WEB_PORT=0)
    url = _url(process)
    status, text = _get(f"{url}/")
    assert status == 503
    assert "The store does not exist" in text
    assert json.loads(process.get("readyz"))["notes"]["store"]
    assert "fmq_store_info{" not in process.get("metrics")
    assert not list(tmp_path.glob("mqtt_queue.db*"))
    with open_store(f"sqlite:///{tmp_path}/mqtt_queue.db") as store:
        store.declare("sensors/+/temp")
    status, text = _get(f"{url}/")
    assert status == 200
    assert "sensors/+/temp" in text
    assert "notes" not in json.loads(process.get("readyz"))
    metrics = process.get("metrics")
    assert 'fmq_web_requests_total{method="GET",route="/",status="2xx"} 1.0' in metrics
    assert "fmq_store_info{store=" in metrics
    assert process.terminate() == 0


@pytest.mark.parametrize("character", ["a", "\u00fc"])
def test_a_queue_with_the_longest_name(processes: Processes, tmp_path: Path, character: str) -> None:
    """65,535 bytes (MQTT 5, section 1.5.4), which take up to three times as many in a URL, have a page."""
    name = character * (65_535 // len(character.encode()))
    with open_store(f"sqlite:///{tmp_path}/mqtt_queue.db") as store:
        store.declare(name)
    url = _url(processes.start("web", FMQ_WEB_PORT=0))
    status, text = _get(f"{url}/queue?name={quote(name)}")
    assert status == 200
    assert name[:50] in text


def test_sigterm_ends_open_streams(processes: Processes, tmp_path: Path) -> None:
    """With a goodbye, at once, with exit code 0, and without a traceback in the log."""
    with open_store(f"sqlite:///{tmp_path}/mqtt_queue.db") as store:
        store.declare("q")
    process = processes.start("web", FMQ_WEB_PORT=0)
    with urllib.request.urlopen(f"{_url(process)}/api/v1/stream", timeout=20) as stream:
        wait_for(lambda: stream.readline() == b"event: state\n")
        assert process.terminate(15) == 0
        assert b"event: bye\n" in stream.read()
    assert {line["level"] for line in process.log} <= {"INFO", "WARNING"}
    assert "Traceback" not in process.text


def test_the_password_of_the_log_signs_in(processes: Processes) -> None:
    """Elsewhere than on loopback nobody reads without it."""
    process = processes.start("web", FMQ_WEB_PORT=0, FMQ_WEB_HOSTS="fmq.example.com")
    url = _url(process)
    line = process.said("sign in as operator with the password")[0]
    assert line["level"] == "WARNING"
    password = line["message"].split("the password ")[1].split()[0]
    assert _get(f"{url}/api/v1/overview")[0] == 401
    body = f"user=operator&password={password}".encode()
    with urllib.request.urlopen(f"{url}/sign-in", body, timeout=20) as answer:
        pass
    assert answer.url.endswith("/sign-in"), "without a cookie jar it is led back, but it was led on first"
    assert process.wait_to_say("operator signed in from 127.0.0.1")


def test_exit_codes(processes: Processes, tmp_path: Path) -> None:
    """1 for a taken port, 2 for settings that can't work; each with one message and no traceback."""
    (tmp_path / "users").write_text("anna:operate:hunter2\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        started = {
            1: [processes.start("web", FMQ_WEB_PORT=port)],
            2: [
                processes.start("web", FMQ_WEB_PORT=0, FMQ_WEB_HOST="192.0.2.1"),
                processes.start("web", FMQ_WEB_PORT=0, FMQ_WEB_USERS_FILE=tmp_path / "users"),
                processes.start("web", FMQ_WEB_PORT=0, FMQ_QUEUE_URL="mysql:///x"),
                processes.start("web", FMQ_WEB_PORT="x"),
            ],
        }
        for code, all_of_it in started.items():
            for process in all_of_it:
                assert process.wait() == code, process.text
                assert "Traceback" not in process.text
                assert "hunter2" not in process.text
    assert "line 1" in started[2][1].text
