"""`fmq process` with a handler whose target, a real server, is stopped and started."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fmq.message import Incoming
from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.counting import counted, counters, query
from support.processes import FmqProcess, Processes
from support.wait import wait_for

QUEUE = "dstdb"
HANDLER = """
import http.client, os
import fmq

def post(message):
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["TARGET_PORT"]), timeout=5)
    try:
        connection.request("POST", "/", message.payload)
        status = connection.getresponse().status
    except OSError as error:
        raise fmq.Unavailable(reason=f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()
    if status != 204:
        raise fmq.Reject(f"HTTP {status}")
"""


class Target:
    """An HTTP server that can be stopped, and started again on its port. Notes what it got; refuses ``refused``."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.refused = b"never"
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self.start()

    def start(self) -> None:
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                target.got.append(body)
                self.send_response(400 if body == target.refused else 204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@pytest.fixture
def target() -> Iterator[Target]:
    made = Target()
    yield made
    made.stop()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    (tmp_path / "user_code.py").write_text(HANDLER, encoding="utf-8")
    with Processes(tmp_path) as started:
        yield started


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/mqtt_queue.db") as opened:
        opened.declare(QUEUE)
        yield opened


def put(queue: Store, payloads: list[bytes]) -> None:
    queue.put([Incoming(QUEUE, QUEUE, payload, time.time()) for payload in payloads])


def _circuit(process: FmqProcess) -> tuple[str, str]:
    """What /readyz says as a whole, and of the circuit."""
    told = json.loads(process.get("readyz"))
    return told["status"], told["notes"]["circuit"]


def test_the_target_is_stopped_and_started(tmp_path: Path, queue: Store, processes: Processes, target: Target) -> None:
    """Nothing dies, no retry is used up, it is shown everywhere, and all is delivered once the target is back."""
    put(queue, [b"%d" % number for number in range(50)])
    process = processes.start(
        "process",
        QUEUE,
        "20",
        "0.1",
        FMQ_HANDLER="user_code:post",
        FMQ_CONCURRENCY=4,
        FMQ_CIRCUIT_INITIAL=0.1,
        FMQ_CIRCUIT_MAXIMUM=0.3,
        TARGET_PORT=target.port,
    )
    wait_for(lambda: queue.stats(QUEUE).done == 50, what="50 messages")
    target.stop()
    put(queue, [b"%d" % number for number in range(50, 550)])
    (opened,) = process.wait_to_say("seems to be down")
    assert "ConnectionRefusedError" in opened["message"]
    wait_for(lambda: _probes(process) >= 5, what="some probes")
    status, note = _circuit(process)
    assert (status, note.startswith("open: ")) == ("ok", True)
    assert 'fmq_circuit_open{route="main"} 1.0' in process.get("metrics")
    assert (queue.stats(QUEUE).done, queue.stats(QUEUE).dead) == (50, 0)
    target.start()
    wait_for(lambda: queue.stats(QUEUE).done == 550, what="all messages")
    assert process.said("is back after")
    assert _circuit(process) == ("ok", "closed")
    assert 'fmq_circuit_open{route="main"} 0.0' in process.get("metrics")
    assert process.terminate() == 0
    assert sorted(target.got, key=int) == [b"%d" % number for number in range(550)]
    assert query(tmp_path / "mqtt_queue.db", "SELECT DISTINCT processed, retry_count FROM msg_dstdb") == [(1, 0)]
    assert counted(tmp_path / "mqtt_queue.db") == counters(tmp_path / "mqtt_queue.db")


def _probes(process: FmqProcess) -> float:
    lines = process.get("metrics").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith('fmq_circuit_probes_total{route="main"} '))
