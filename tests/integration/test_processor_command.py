"""`fmq process` as a user runs it: real processes on a real file."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from fmq.message import Incoming, Terms
from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.counting import counted, counters, query
from support.processes import FmqProcess, Processes
from support.wait import wait_for

QUEUE = "dstdb"
HANDLERS = """
import atexit, os, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from prometheus_client import Counter
from fmq.service.settings import HandlerSettings, setting

SEEN = os.open("seen", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

def note(message):
    os.write(SEEN, message.payload + b"\\n")

def slow(message):
    note(message)
    while not Path("go-on").exists():
        time.sleep(0.01)

def hang(message):
    note(message)
    if message.payload == b"0":
        time.sleep(600)

POOL = ThreadPoolExecutor()

def pooled(message):
    POOL.submit(time.sleep, 600)

def at_exit(message):
    atexit.register(time.sleep, 600)

class WithHooks:
    def setup(self):
        os.write(SEEN, b"setup\\n")
    def handle(self, message):
        note(message)
    async def teardown(self):
        os.write(SEEN, b"teardown\\n")

class ShopSettings(HandlerSettings):
    shop_sign: str = setting(..., about="What to write.", expected="a few letters", max_length=9)

class Shop:
    Settings = ShopSettings
    def __init__(self, settings, registry):
        self.sign = settings.shop_sign
        self.sold = Counter("fmq_shop_sold", "Sold.", registry=registry)
    def handle(self, message):
        os.write(SEEN, self.sign.encode() + message.payload + b"\\n")
        self.sold.inc()

class BadSetup:
    def setup(self):
        raise ValueError("no such database")
    def handle(self, message):
        note(message)
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    (tmp_path / "user_code.py").write_text(HANDLERS, encoding="utf-8")
    with Processes(tmp_path) as started:
        yield started


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/mqtt_queue.db") as opened:
        opened.declare(QUEUE)
        yield opened


def put(queue: Store, count: int, topic: str = QUEUE) -> None:
    queue.put([Incoming(QUEUE, topic, b"%d" % number, time.time()) for number in range(count)])


def seen(folder: Path) -> list[str]:
    path = folder / "seen"
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def test_the_guides_command_empties_a_table(tmp_path: Path, queue: Store, processes: Processes) -> None:
    """`fmq process dstdb 50 2` with no code at all: each message is logged and processed = 1."""
    put(queue, 300)
    process = processes.start("process", QUEUE, "50", "2")
    wait_for(lambda: queue.stats(QUEUE).done == 300, what="300 messages")
    process.wait_to_say("Starting processor for topic: dstdb")
    assert process.terminate() == 0
    assert set(query(tmp_path / "mqtt_queue.db", "SELECT processed, retry_count FROM msg_dstdb ORDER BY id")) == {
        (1, 0)
    }
    assert len(process.said("Message ")) == 300
    assert len(process.said("Received signal 15")) == 1
    (summary,) = process.said("Processed 300 messages")
    assert (summary["level"], summary["service"]) == ("INFO", "processor")
    assert counted(tmp_path / "mqtt_queue.db") == counters(tmp_path / "mqtt_queue.db")


def test_a_store_without_a_listener_is_kept_by_a_processor(tmp_path: Path, queue: Store, processes: Processes) -> None:
    """With FMQ_UPKEEP it deletes what is past FMQ_RETENTION_SECONDS; without it deletes nothing."""
    put(queue, 300)
    processes.start("process", QUEUE, "50", FMQ_RETENTION_SECONDS=0)
    wait_for(lambda: queue.stats(QUEUE).done == 300, what="300 messages")
    url = f"sqlite:///{tmp_path}/kept.db"
    with open_store(url) as kept:
        kept.declare(QUEUE)
        put(kept, 300)
        processor = processes.start("process", QUEUE, FMQ_QUEUE_URL=url, FMQ_UPKEEP="true", FMQ_RETENTION_SECONDS=0)
        wait_for(lambda: kept.stats(QUEUE).pending == 0 and kept.stats(QUEUE).done == 0, what="an empty table")
        assert processor.terminate() == 0
    assert queue.stats(QUEUE).done == 300  # of the processor that has run for longer


def test_upkeep_does_not_hold_up_a_failed_start(queue: Store, processes: Processes) -> None:
    """A handler whose setup fails ends the processor also while it keeps the store."""
    put(queue, 1)
    processor = processes.start("process", QUEUE, FMQ_UPKEEP="true", FMQ_HANDLER="user_code:BadSetup")
    assert processor.wait() == 1
    assert queue.stats(QUEUE).pending == 1


@pytest.mark.parametrize("command", ["fmq-process", "module"])
def test_the_other_ways_to_start_it(tmp_path: Path, queue: Store, command: str) -> None:
    """They take the guide's arguments as well, and end on Ctrl+C."""
    put(queue, 5)
    program = (
        [sys.executable, "-m", "fmq_processor"] if command == "module" else [Path(sys.executable).with_name(command)]
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FMQ_")}
    with subprocess.Popen(
        [*program, QUEUE, "2", "0.5"], cwd=tmp_path, env=environ | {"FMQ_HTTP_PORT": "0"}, stderr=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: queue.stats(QUEUE).done == 5, what="5 messages")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_metrics_health_and_readiness(queue: Store, processes: Processes) -> None:
    """On one port, while it works; histograms by queue for who asks, the store's queues without a listener."""
    put(queue, 20)
    process = processes.start("process", QUEUE, "10", "0", FMQ_METRICS_QUEUE_HISTOGRAMS="true")
    wait_for(lambda: queue.stats(QUEUE).done == 20, what="20 messages")
    (line,) = process.wait_to_say("Starting processor")
    assert _get(line["http_port"], "/healthz")[0] == 200
    status, body = _get(line["http_port"], "/readyz")
    assert (status, json.loads(body)["checks"]) == (200, {"store": "ok", "handler": "ok"})
    wait_for(lambda: 'outcome="done",queue="dstdb"} 20.0' in _get(line["http_port"], "/metrics")[1], what="the counter")
    text = _get(line["http_port"], "/metrics")[1]
    assert 'fmq_messages{queue="dstdb",state="done"} 20.0' in text
    assert 'fmq_handle_seconds_count{queue="dstdb",route="main"} 20.0' in text
    assert 'fmq_build_info{service="processor"' in text


def _get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_a_shutdown_in_mid_batch(tmp_path: Path, queue: Store, processes: Processes) -> None:
    """SIGTERM: what runs is finished, what has not started is pending with no attempt counted, exit code 0."""
    put(queue, 20)
    process = processes.start("process", QUEUE, "20", FMQ_HANDLER="user_code:slow")
    wait_for(lambda: seen(tmp_path) == ["0"], what="the first call")
    assert queue.stats(QUEUE).claimed == 20
    os.kill(process.pid, signal.SIGTERM)
    wait_for(lambda: queue.stats(QUEUE).pending == 19, what="19 messages to be given back")
    (tmp_path / "go-on").touch()
    assert process.wait() == 0
    rows = query(tmp_path / "mqtt_queue.db", "SELECT processed, retry_count FROM msg_dstdb ORDER BY id")
    assert rows == [(1, 0), *[(0, 0)] * 19]
    assert seen(tmp_path) == ["0"]


def test_a_handler_that_hangs(queue: Store, processes: Processes) -> None:
    """It times out, the others are handled, and the shutdown does not wait for it."""
    put(queue, 5)
    process = processes.start("process", QUEUE, FMQ_HANDLER="user_code:hang", FMQ_HANDLER_TIMEOUT=1, FMQ_MAX_RETRIES=0)
    wait_for(lambda: queue.stats(QUEUE).done == 4 and queue.stats(QUEUE).dead == 1, what="all to end")
    assert queue.dead_letters(QUEUE)[0].reason == "gave up after 1 attempts: timed out after 1 s"
    assert process.terminate() == 0


def test_too_many_hanging_calls_end_the_process(queue: Store, processes: Processes) -> None:
    """With exit code 1 and the reason, so that it is restarted; what it held goes back."""
    queue.put([Incoming(QUEUE, QUEUE, b"0", time.time()) for _ in range(20)])
    process = processes.start(
        "process", QUEUE, FMQ_HANDLER="user_code:hang", FMQ_HANDLER_TIMEOUT=0.1, FMQ_GRACE_SECONDS=0.5
    )
    assert process.wait() == 1
    assert process.said("has to be restarted: 6 handler calls hang")
    assert queue.stats(QUEUE).claimed == 0


@pytest.mark.parametrize("what", ["pooled", "at_exit"])
def test_what_a_handler_leaves_behind_does_not_keep_the_process(queue: Store, processes: Processes, what: str) -> None:
    """Python waits at its end for calls in a pool and for atexit functions: not here, and the exit code stays right."""
    put(queue, 1)
    process = processes.start("process", QUEUE, FMQ_HANDLER=f"user_code:{what}", FMQ_GRACE_SECONDS=1)
    wait_for(lambda: queue.stats(QUEUE).done == 1, what="the message to be handled")
    process.wait_to_say("Starting processor")
    assert process.terminate() == 0
    assert process.said("keep Python from ending")


def test_decoding_and_a_filter(tmp_path: Path, queue: Store, processes: Processes) -> None:
    """By settings alone: what is wanted reaches the handler, the rest is done, or dead with its reason and raw bytes."""
    put(queue, 10)
    queue.put([Incoming(QUEUE, QUEUE, b"not JSON", time.time())])
    process = processes.start(
        "process", QUEUE, FMQ_HANDLER="user_code:note", FMQ_DECODE="json", FMQ_FILTER="body > `6`"
    )
    wait_for(lambda: queue.stats(QUEUE).done == 10 and queue.stats(QUEUE).dead == 1, what="all to end")
    assert process.terminate() == 0
    assert seen(tmp_path) == ["7", "8", "9"]
    (letter,) = queue.dead_letters(QUEUE)
    assert (letter.message.payload, letter.reason[:19]) == (b"not JSON", "not decoded as json")
    assert process.said("Processed 3 messages, skipped 7, 1 failed attempt, 1 dead letter")


def test_set_up_and_tear_down_frame_the_work(tmp_path: Path, queue: Store, processes: Processes) -> None:
    """Once a process."""
    put(queue, 3)
    process = processes.start("process", QUEUE, FMQ_HANDLER="user_code:WithHooks")
    wait_for(lambda: queue.stats(QUEUE).done == 3, what="3 messages")
    assert process.terminate() == 0
    assert seen(tmp_path) == ["setup", "0", "1", "2", "teardown"]


def test_a_handler_with_settings_and_metrics(tmp_path: Path, queue: Store, processes: Processes) -> None:
    """A user's class gets its settings from the environment, and its metrics stand next to the processor's."""
    put(queue, 3)
    process = processes.start("process", QUEUE, FMQ_HANDLER="user_code:Shop", FMQ_SHOP_SIGN="no. ")
    wait_for(lambda: queue.stats(QUEUE).done == 3, what="3 messages")
    assert "fmq_shop_sold_total 3.0" in _get(process.wait_to_say("Starting processor")[0]["http_port"], "/metrics")[1]
    assert process.terminate() == 0
    assert (tmp_path / "seen").read_text(encoding="utf-8").splitlines() == ["no. 0", "no. 1", "no. 2"]


def test_a_setup_that_fails_ends_the_process(queue: Store, processes: Processes) -> None:
    """With exit code 1 and its error; no message is touched."""
    put(queue, 3)
    process = processes.start("process", QUEUE, FMQ_HANDLER="user_code:BadSetup")
    assert process.wait() == 1
    assert "the handler's setup failed: ValueError: no such database" in process.text
    assert queue.stats(QUEUE).pending == 3


@pytest.mark.parametrize(
    ("arguments", "settings", "told"),
    [
        (
            ("dstdb", "none"),
            {"FMQ_SLEEP": "long", "FMQ_CONCURRENCY": "-1"},
            ("BATCH='none'", "FMQ_SLEEP='long'", "FMQ_CONCURRENCY='-1'"),
        ),
        (
            ("dstdb", "none"),
            {"FMQ_HANDLER": "user_code:Shop", "FMQ_SHOP_SIGN": "0123456789"},
            ("BATCH='none'", "FMQ_SHOP_SIGN='0123456789': ", "expected a few letters"),
        ),
        (("dstdb",), {"FMQ_HANDLER": "nowhere:handle"}, ("can't be imported: ModuleNotFoundError",)),
        (("dstdb", "5", "--batch", "6"), {}, ("--batch is given twice",)),
    ],
)
def test_wrong_settings(
    processes: Processes, arguments: tuple[str, ...], settings: dict[str, str], told: tuple[str, ...]
) -> None:
    """Exit code 2, everything that is wrong at once, no traceback."""
    process = processes.start("process", *arguments, **settings)
    assert process.wait() == 2
    assert all(part in process.text for part in told), process.text
    assert "Traceback" not in process.text


def test_a_store_that_is_no_store(tmp_path: Path, processes: Processes) -> None:
    """Exit code 3, the file untouched."""
    path = tmp_path / "mqtt_queue.db"
    path.write_bytes(b"not a database, but somebody's notes" * 100)
    process = processes.start("process", QUEUE)
    assert process.wait() == 3
    assert "Traceback" not in process.text
    assert path.read_bytes() == b"not a database, but somebody's notes" * 100


def test_it_may_start_before_the_listener(tmp_path: Path, processes: Processes) -> None:
    """It waits for the database's queue to be made."""
    process = processes.start("process", QUEUE, FMQ_HANDLER="user_code:note")
    process.wait_to_say("Waiting for the queue dstdb")
    with open_store(f"sqlite:///{tmp_path}/mqtt_queue.db") as queue:
        queue.declare(QUEUE)
        put(queue, 3)
        wait_for(lambda: queue.stats(QUEUE).done == 3, what="3 messages")
    assert process.terminate() == 0


def _is_done(queue: Store, name: str) -> bool:
    return queue.stats(name).done == 1


def test_it_serves_every_queue_there_is(tmp_path: Path, queue: Store, processes: Processes) -> None:
    """With no topic; also one made later, whatever its name."""
    process: FmqProcess = processes.start("process", FMQ_HANDLER="user_code:note")
    for name in (QUEUE, "a queue/with 'quotes\"/ü", "sensors/+/temp"):
        queue.declare(name)
        queue.put([Incoming(name, name, b"x", time.time())])
        wait_for(partial(_is_done, queue, name), what=name)
    assert process.terminate() == 0
    assert seen(tmp_path) == ["x"] * 3


def test_drain_ends_when_nothing_is_due(queue: Store, processes: Processes) -> None:
    """With exit code 0 and lines that name what is left for the next run."""
    put(queue, 250)
    queue.put([Incoming(QUEUE, QUEUE, b"late", time.time())], terms={0: Terms(delay=3600)})
    process = processes.start("process", QUEUE, "--drain", FMQ_BATCH=10)
    assert process.wait() == 0
    assert (queue.stats(QUEUE).done, queue.stats(QUEUE).pending) == (250, 1)
    assert process.said("Queue dstdb: 1 message waiting for later; the next one is due in 3")
    assert process.said("Drained: nothing is due in 1 queue")


def test_a_drain_in_which_a_message_dies_has_its_own_exit_code(queue: Store, processes: Processes) -> None:
    """After the others were handled."""
    put(queue, 3)
    process = processes.start("process", QUEUE, "--drain", FMQ_DECODE="json", FMQ_FILTER="body != `1`")
    assert process.wait() == 0
    queue.put([Incoming(QUEUE, QUEUE, b"not JSON", time.time())])
    put(queue, 2)
    process = processes.start("process", QUEUE, "--drain", FMQ_DECODE="json")
    assert process.wait() == 8
    assert (queue.stats(QUEUE).done, queue.stats(QUEUE).dead) == (5, 1)


def test_reload_starts_a_changed_handler(tmp_path: Path, queue: Store, processes: Processes) -> None:
    """Messages after the change are handled by the new code, and SIGTERM ends both processes."""
    module = tmp_path / "changing.py"
    code = "from pathlib import Path\ndef handle(message):\n    with Path('seen').open('a') as out: print({!r}, file=out)\n"
    module.write_text(code.format("old"))
    process = processes.start("process", QUEUE, "--reload", FMQ_HANDLER="changing:handle", FMQ_SLEEP=0.1)
    put(queue, 1)
    wait_for(lambda: seen(tmp_path) == ["old"], what="the first code")
    module.write_text(code.format("new code"))
    process.wait_to_say("Starting processor", times=2)
    put(queue, 1)
    wait_for(lambda: seen(tmp_path) == ["old", "new", "code"], what="the new code")
    assert "fmq: changing.py changed; starting the processor again" in process.text
    assert process.terminate() == 0
    assert len(process.said("Stopped")) == 2
