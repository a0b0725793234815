"""Real services under a steady load, watched by a Prometheus whose minutes are seconds, and ways to disturb them."""

import threading
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import apsw
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from monitoring.programs import RULES, Prometheus, shortened
from support.broker import Broker, free_port
from support.processes import FmqProcess, Processes
from support.wait import wait_for

QUEUE = "sensors/#"
RARE = "rare"
RATE = 40
LEASE = 2
_TURN = 0.1
_MEGABYTE = 1024 * 1024
_ROOM = 400 * _MEGABYTE
_ALWAYS = {"FmqIntakeStopped"}
_HANDLER = f"""
import time
from pathlib import Path

def handle(message):
    mode = Path("mode").read_text()
    if mode == "fail":
        raise ValueError("told to fail")
    time.sleep({4 * LEASE} if mode == "slow" else 0.002)
"""


LIMITS = {
    "FmqMessagesWaitTooLong": {"> 900": "> 15"},
    "FmqBacklogLarge": {"> 100000": "> 300"},
    "FmqBacklogWillBeLarge": {"4 * 3600": "4 * 60", "> 1000000": "> 2000", '"}) > 10000': '"}) > 100'},
    "FmqDiskFillsUp": {"24 * 3600": "24 * 60", "5 * 1024 * 1024 * 1024": "512 * 1024 * 1024"},
    "FmqWalLarge": {"1024 * 1024 * 1024": str(72 * _MEGABYTE)},
}
"""What else has to be smaller where an hour is a minute: amounts, and how far to look ahead.

fmq lets its log keep 64 MiB.
"""


class _Load(threading.Thread):
    """Publishes at QoS 1 as long as it lives; paho sends again what a broker that was away has not acknowledged."""

    def __init__(self, port: int) -> None:
        super().__init__(name="load", daemon=True)
        self._ends = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._port = port

    def once(self, topic: str, payload: bytes = b"{}") -> None:
        self._client.publish(topic, payload, 1)

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        self.start()
        return self

    def run(self) -> None:
        while not self._ends.wait(_TURN):
            for number in range(int(RATE * _TURN)):
                self._client.publish(f"sensors/{number}", b'{"value": 21.5, "unit": "C", "place": "test"}' * 4, 1)

    def __exit__(self, *exc: object) -> None:
        self._ends.set()
        self.join()
        self._client.disconnect()
        self._client.loop_stop()


class System:
    """Broker, listener, two processors, load and Prometheus."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "mqtt_queue.db"
        (folder / "watched.py").write_text(_HANDLER, encoding="utf-8")
        self.handler("well")
        self._ports = {job: free_port() for job in ("fmq-listener", "fmq-processor", "fmq-processor-2")}
        self.broker = Broker(folder / "broker")
        self._processes = Processes(folder)
        self._load = _Load(self.broker.port)
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as begun:
            begun.enter_context(self.broker)
            begun.enter_context(self._processes)
            self.listener = self._processes.start(
                "listen",
                QUEUE,
                RARE,
                FMQ_BROKER_URL=self.broker.url,
                FMQ_RECONNECT_MAX_SECONDS="0.5",
                FMQ_BUSY_SECONDS="2",
                FMQ_HTTP_PORT=self._ports["fmq-listener"],
            )
            self.listener.wait_to_say("Connected and subscribed")
            self.start_processors()
            begun.enter_context(self._load)
            self._load.once(RARE)
            wait_for(lambda: f'fmq_stored_total{{queue="{RARE}"}} 1.0' in self.page("fmq-listener"))
            rules = shortened(RULES.read_text("utf-8"), LIMITS)
            self.prometheus = begun.enter_context(Prometheus(self.folder / "prometheus", rules, self._ports))
            self._ends = begun.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ends.close()

    def page(self, job: str) -> str:
        """The metrics that a service shows."""
        url = f"http://127.0.0.1:{self._ports[job]}/metrics"

        def read() -> str:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    return str(answer.read().decode())
            except OSError:
                return ""

        return wait_for(read, what=f"the page of {job}")

    def _figure(self, name: str) -> float:
        """A figure of the listener without labels."""
        (line,) = [line for line in self.page("fmq-listener").split("\n") if line.startswith(f"{name} ")]
        return float(line.split()[1])

    def reconnects(self) -> float:
        """How often the listener has connected anew."""
        return self._figure("fmq_reconnects_total")

    def _processor(self, job: str) -> FmqProcess:
        return self._processes.start(
            "process",
            FMQ_BATCH="5",
            FMQ_SLEEP="0.2",
            FMQ_TOPICS=f"{QUEUE},{RARE}",
            FMQ_HANDLER="watched:handle",
            FMQ_MAX_RETRIES="1",
            FMQ_BACKOFF_INITIAL="0.2",
            FMQ_LEASE_SECONDS=str(LEASE),
            FMQ_BUSY_SECONDS="2",
            FMQ_GRACE_SECONDS="5",
            FMQ_HTTP_PORT=self._ports[job],
            PYTHONPATH=str(self.folder),
        )

    def handler(self, mode: str) -> None:
        """How the handler does from now on: well, fail, or slow."""
        new = self.folder / "mode.new"
        new.write_text(mode, encoding="utf-8")
        new.replace(self.folder / "mode")

    def publish_much(self) -> None:
        """Large messages: 100 MB."""
        for _ in range(100):
            self._load.once("sensors/large", bytes(1_000_000))

    def stop_processors(self) -> None:
        for one in self.processors:
            one.terminate()

    def start_processors(self) -> None:
        self.processors = [self._processor(job) for job in ("fmq-processor", "fmq-processor-2")]

    @contextmanager
    def store_locked(self, *, seconds: float = 0.0) -> Iterator[None]:
        """Another program holds the write lock: always, or so long at a time, with pauses."""
        ends = threading.Event()

        def hold() -> None:
            while not ends.is_set():
                connection = apsw.Connection(str(self.database))
                connection.set_busy_timeout(10_000)
                connection.execute("BEGIN IMMEDIATE")
                ends.wait(seconds or None)
                connection.execute("ROLLBACK")
                connection.close()
                ends.wait(_TURN)

        thread = threading.Thread(target=hold)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()

    @contextmanager
    def open_reader(self) -> Iterator[None]:
        """Another program stays on an old snapshot, as a forgotten shell or a backup does."""
        connection = apsw.Connection(str(self.database))
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        try:
            yield
        finally:
            connection.execute("COMMIT")
            connection.close()

    def wait_until_fires(self, expected: Iterable[str], deadline: float = 60.0) -> set[str]:
        """Wait until all of these alerts fire; returns everything that has fired meanwhile.

        But for what the queue that gets nothing fires all the time, until its own test.
        """
        seen: set[str] = set()

        def all_fire() -> bool:
            now = self.prometheus.firing()
            seen.update(now)
            return set(expected) <= now

        wait_for(all_fire, deadline, what=f"{', '.join(expected)} to fire")
        return seen - (_ALWAYS - set(expected))

    def wait_until_quiet(self, deadline: float = 60.0) -> None:
        """Wait until no alert fires."""
        wait_for(lambda: not self.prometheus.firing() - _ALWAYS, deadline, what="all alerts to clear")
