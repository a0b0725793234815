"""`fmq demo` as people run it: with every kind of broker, ended in every way."""

import json
import os
import pty
import re
import signal
import subprocess
import threading
from pathlib import Path

import apsw
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from support.broker import Broker, free_port, publish
from support.processes import FMQ, FmqProcess, Processes
from support.wait import wait_for

_ENDED = 60.0
_WELL = "Nothing was lost"


@pytest.fixture(autouse=True)
def _temporary_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the demo keeps without --data goes with the test's folder."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def _children(pid: int) -> list[int]:
    """The child processes in the order of their start: broker, listener, processors, web page."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def _runs(pid: int) -> bool:
    """Whether a process is there and more than a zombie that nobody has waited for."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _at_work(demo: FmqProcess) -> list[int]:
    """Wait until messages flow; returns the children."""
    wait_for(lambda: "processed" in demo.text or not demo.running, _ENDED, what="the demo's first figures")
    assert demo.running, demo.text
    return _children(demo.pid)


def _require_ended(children: list[int]) -> None:
    assert children
    wait_for(lambda: not any(map(_runs, children)), 15, what="the demo's children to end")


def _counts(database: Path) -> dict[str, tuple[int, ...]]:
    with apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY) as sql:
        rows = sql.execute("SELECT name, stored, done, dead, pending + claimed FROM fmq_queue").fetchall()
    return {str(row[0]): tuple(int(str(count)) for count in row[1:]) for row in rows}


def _row(text: str, name: str) -> tuple[int, ...]:
    """The last row of a table: published, stored, pending, in hand, processed, retries, dead."""
    rows = re.findall(rf"^ *{re.escape(name)} +([\d, ]+)$", text, re.MULTILINE)
    return tuple(int(number.replace(",", "")) for number in rows[-1].split())


def _require_agreement(demo: FmqProcess, database: Path) -> int:
    """The table's counts are those of the database, and nothing is left in a queue. Returns how many were published."""
    assert _WELL in demo.text
    counts = _counts(database)
    assert set(counts) == {"sensors/+/temperature", "sensors/+/humidity"}
    for name, (stored, done, dead, waiting) in counts.items():
        row = _row(demo.text, name)
        assert row[:4] == (stored, stored, 0, 0)
        assert (row[4], row[6], waiting) == (done, dead, 0)
    return sum(stored for stored, *_ in counts.values())


def test_everything_published_is_stored_and_processed(fmq: Processes, tmp_path: Path) -> None:
    """The three counts agree, and the commands that it shows can be copied: `fmq status`, `fmq dead list`, and the SQL."""
    demo = fmq.start("demo", "--for", "3", "--rate", "600", "--broker", "mosquitto", "--data", "with a space")
    children = _at_work(demo)
    assert len(children) == 5
    assert demo.wait(_ENDED) == 0, demo.text
    _require_ended(children)
    assert _require_agreement(demo, tmp_path / "with a space" / "queue.db") > 100
    told = demo.text.partition("The data is kept")[2]
    commands = [line.strip() for line in told.split("\n") if line.startswith("  ")]
    assert len(commands) == 5
    status, dead, queues, messages = (
        subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout
        for command in commands[:4]
    )
    assert "sensors/+/temperature" in status
    assert "sent no value" in dead
    assert "sensors/+/temperature|msg_sensors___temperature|" in queues
    assert len(messages.strip().split("\n")) == 6  # a head and five messages
    subprocess.run(["sh", "-c", commands[4]], check=True)
    assert not (tmp_path / "with a space").exists()


@pytest.mark.timeout(240)
def test_without_a_terminal_and_a_mosquitto(fmq: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in CI, where nobody stops `make run`: it ends on time, and a machine with nothing but Python serves."""
    (tmp_path / "sitecustomize.py").write_text(
        "import shutil\nshutil.which = lambda *_, **__: None\n", encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    demo = fmq.start("demo", "--rate", "50", "--data", "data")
    assert demo.wait(3 * _ENDED) == 0, demo.text
    assert "an embedded broker (amqtt)" in demo.text
    assert len(re.findall(r"^ +[\d.]+ s  published", demo.text, re.MULTILINE)) >= 5
    assert "\x1b" not in demo.text
    assert _require_agreement(demo, tmp_path / "data" / "queue.db") > 100


def test_a_count_that_is_wrong_is_told(fmq: Processes, broker: Broker) -> None:
    """A message of somebody else in one of its queues: the summary must not call that right.

    The broker is left as it was: the topics are the demo's own, and no session stays behind.
    """
    demo = fmq.start("demo", "--for", "2", FMQ_BROKER_URL=broker.url)
    children = _at_work(demo)
    assert len(children) == 4
    root = re.search(r"fmq-demo-[0-9a-f]{8}(?=/)", demo.text)
    assert root is not None
    publish(broker.port, [(f"{root.group()}/attic/humidity", b'{"value": 1}')])
    assert demo.wait(_ENDED) == 1
    assert f"NOT RIGHT: {root.group()}/+/humidity: 1 more messages were stored than published" in demo.text
    assert _WELL not in demo.text
    _require_ended(children)
    assert not _session_present(broker.port, root.group())


def _session_present(port: int, client_id: str) -> bool:
    answers: list[bool] = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    client.on_connect = lambda _client, _userdata, flags, _reason, _properties: answers.append(flags.session_present)
    client.connect("127.0.0.1", port, clean_start=False)
    client.loop_start()
    wait_for(lambda: answers, what="CONNACK")
    client.disconnect()
    client.loop_stop()
    return answers[0]


def test_a_broker_that_is_not_there_is_told(fmq: Processes) -> None:
    """The address, and why it can't be reached; no traceback, and nothing is started."""
    url = f"mqtt://127.0.0.1:{free_port()}"
    demo = fmq.start("demo", FMQ_BROKER_URL=url)
    assert demo.wait(_ENDED) == 1
    assert demo.text == f"fmq: the broker at {url} can't be reached: Connection refused\n"


def test_publishing_alone_waits_for_its_broker(fmq: Processes) -> None:
    """It may be started before the broker is there."""
    url = f"mqtt://127.0.0.1:{free_port()}"
    demo = fmq.start("demo", "--publish-only", FMQ_BROKER_URL=url)
    line = f"the broker at {url} can't be reached: Connection refused; trying again\n"
    wait_for(lambda: demo.text.count(line) == 2, what="the second attempt")
    assert demo.terminate() == 1


@pytest.mark.parametrize("victim", [0, 3])
def test_a_service_that_dies_ends_the_demo(fmq: Processes, victim: int) -> None:
    """The user sees which one it was and the end of its log; nothing is left running."""
    demo = fmq.start("demo", "--broker", "mosquitto")
    children = _at_work(demo)
    os.kill(children[victim], signal.SIGKILL)
    assert demo.wait(_ENDED) == 1
    _require_ended(children)
    name = ("mosquitto", "listener", "processor-1", "processor-2", "web")[victim]
    assert f"{name} ended with signal SIGKILL; the end of its log (" in demo.text
    assert "Traceback" not in demo.text
    assert demo.text.rstrip().rpartition("\n")[2].startswith("  ")  # an indented line of that log


def test_its_children_do_not_outlive_it(fmq: Processes) -> None:
    """Not even a demo that is killed leaves processes behind."""
    demo = fmq.start("demo", "--broker", "mosquitto")
    children = _at_work(demo)
    demo.kill()
    _require_ended(children)


def test_a_folder_with_other_data_is_left_alone(fmq: Processes, tmp_path: Path) -> None:
    """Its counts would not be this demo's."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "queue.db").touch()
    demo = fmq.start("demo", "--data", "data")
    assert demo.wait(_ENDED) == 2
    assert "the folder is not empty" in demo.text


def test_in_a_terminal_the_table_lives(tmp_path: Path) -> None:
    """It is drawn repeatedly in its place until Ctrl-C; then what was published is still processed, and all processes end."""
    ours, its = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FMQ_")}
    environ |= {"TERM": "xterm", "COLUMNS": "80", "LINES": "40"}
    with subprocess.Popen(
        [FMQ, "demo", "--broker", "mosquitto", "--data", str(tmp_path / "data")], env=environ, stdout=its, stderr=its
    ) as demo:
        os.close(its)
        seen = bytearray()
        reader = threading.Thread(target=_read, args=(ours, seen))
        reader.start()
        try:
            wait_for(lambda: seen.count(b"Ctrl-C ends it") >= 3, _ENDED, what="the table to be drawn again")
            children = _children(demo.pid)
        finally:
            demo.send_signal(signal.SIGINT)
        assert demo.wait(_ENDED) == 0
        reader.join(10)
    os.close(ours)
    _require_ended(children)
    assert b"\x1b[2K" in seen
    assert _WELL.encode() in seen
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", seen.decode())
    assert max(len(line.rstrip()) for line in plain.split("\n") if "sensors/+/humidity  " in line) <= 80


def _read(descriptor: int, into: bytearray) -> None:
    while True:
        try:
            data = os.read(descriptor, 65_536)
        except OSError:  # how Linux says that the other side has closed a terminal
            return
        if not data:
            return
        into += data


def test_it_publishes_alone_for_a_system_that_is_running(fmq: Processes, broker: Broker) -> None:
    """With --publish-only: what it counts as published is what a listener stores."""
    listener = fmq.start("listen", "sensors/+/temperature", "sensors/+/humidity", FMQ_BROKER_URL=broker.url)
    listener.wait_to_say("subscribed")
    publisher = fmq.start("demo", "--publish-only", "--rate", "400", FMQ_BROKER_URL=broker.url)
    wait_for(lambda: _stored(fmq) > 500, 30, what="messages in the queue")
    assert publisher.terminate() == 0
    told = re.search(r"^([\d,]+) published, 0 refused, 0 without an acknowledgement$", publisher.text, re.MULTILINE)
    assert told is not None, publisher.text
    published = int(told.group(1).replace(",", ""))
    wait_for(lambda: _stored(fmq) == published, what=f"{published} messages in the queue")
    assert listener.terminate() == 0


def _stored(fmq: Processes) -> int:
    status = fmq.start("status", "--json")
    assert status.wait() == 0
    return sum(queue["stored"] for queue in json.loads(status.text)["queues"])


def test_publishing_alone_needs_an_address(fmq: Processes) -> None:
    """Otherwise it has nothing to publish to."""
    demo = fmq.start("demo", "--publish-only")
    assert demo.wait() == 2
    assert "FMQ_BROKER_URL" in demo.text
