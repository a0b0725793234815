"""Real services under a steady load, watched by a Prometheus whose minutes are seconds, and ways to disturb them."""

import os
import resource
import shutil
import threading
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import apsw
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from chaos.publisher import remaining_length
from monitoring.programs import RULES, Prometheus, shortened
from support.broker import Broker, free_port
from support.processes import FmqProcess, Processes
from support.proxy import PUBLISH, Packet, Proxy
from support.wait import wait_for

QUEUE = "sensors/#"
RARE = "rare"
RATE = 40
LEASE = 2
_TURN = 0.1
_MEGABYTE = 1024 * 1024
_ROOM = 2048 * _MEGABYTE
_MOST_WRITTEN = 256 * 1024
_SMALL_QUEUE = 20
_LARGEST = 131_072
_SAY_OFTEN = ("sys_interval 1",)
_ALWAYS = {"FmqIntakeStopped"}
_HANDLER = """
import os
import time
from pathlib import Path

import fmq

def handle(message):
    mode = Path("mode").read_text()
    with Path("calls").open("a") as calls:
        calls.write(f"{mode} {os.getpid()} {message.queue} {message.id}\\n")
    if mode == "fail":
        raise ValueError("told to fail")
    if mode == "down":
        raise fmq.Unavailable
    time.sleep(1 if mode == "slow" else 0.002)
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


def _rules(more: Mapping[str, Mapping[str, str]]) -> str:
    return shortened(RULES.read_text("utf-8"), {**LIMITS, **more})


def _publish_packet(topic: str, payload: bytes) -> bytes:
    """Of QoS 0, in MQTT 5."""
    body = len(topic).to_bytes(2) + topic.encode() + b"\0" + payload
    return b"\x30" + remaining_length(len(body)) + body


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
        self.broker = Broker(folder / "broker", _SAY_OFTEN)
        self._processes = Processes(folder)
        self._load = _Load(self.broker.port)
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as begun:
            begun.enter_context(self.broker)
            begun.enter_context(self._processes)
            self.start_listener()
            self.start_processors()
            begun.enter_context(self._load)
            self.prometheus = begun.enter_context(Prometheus(self.folder / "prometheus", _rules({}), self._ports))
            nothing_yet = f'fmq_received_total{{queue="{RARE}"}} == 0'
            wait_for(lambda: self.prometheus.query(nothing_yet), what="Prometheus to see the listener")
            self.publish_rarely()
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
            FMQ_CIRCUIT_FAILURES="100000",  # only when the handler says so
            FMQ_CIRCUIT_MAXIMUM="2",
            FMQ_DEAD_LETTER_LIMIT="0",  # a failing handler would pause the queue
            FMQ_BACKOFF_INITIAL="0.2",
            FMQ_LEASE_SECONDS=str(LEASE),
            FMQ_BUSY_SECONDS="2",
            FMQ_GRACE_SECONDS="5",
            FMQ_HTTP_PORT=self._ports[job],
        )

    def handler(self, mode: str) -> None:
        """How the handler does from now on: well, fail, or slow."""
        new = self.folder / "mode.new"
        new.write_text(mode, encoding="utf-8")
        new.replace(self.folder / "mode")

    def calls(self) -> list[tuple[str, int, str]]:
        """Mode, process and message of each call that has begun."""
        lines = (self.folder / "calls").read_text("utf-8").split("\n")[:-1]
        return [(mode, int(pid), message) for mode, pid, message in (line.split(" ", 2) for line in lines)]

    def publish_rarely(self) -> None:
        """To the queue that gets nothing else."""
        self._load.once(RARE)

    def publish_much(self) -> None:
        """Large messages: 100 MB."""
        for _ in range(100):
            self._load.once("sensors/large", bytes(1_000_000))

    def start_listener(self, **settings: object) -> None:
        self.listener = self._processes.start(
            "listen",
            QUEUE,
            RARE,
            **{
                "FMQ_BROKER_URL": self.broker.url,
                "FMQ_CLIENT_ID": "watched",
                "FMQ_BROKER_STATS": "true",
                "FMQ_RECONNECT_MAX_SECONDS": "0.5",
                "FMQ_BUSY_SECONDS": "2",
                "FMQ_HTTP_PORT": self._ports["fmq-listener"],
                **settings,
            },
        )
        self.listener.wait_to_say("Connected and subscribed")

    @contextmanager
    def strange_broker(self) -> Iterator[None]:
        """One that also hands over what nobody has subscribed to, and packets above the announced maximum."""
        strange = _publish_packet("elsewhere", b"{}") + _publish_packet("sensors/large", bytes(2 * _LARGEST))

        def watch(packet: Packet) -> bytes:
            is_message = packet.kind == PUBLISH and not packet.to_broker
            return packet.raw + strange if is_message else packet.raw

        self.listener.terminate()
        with Proxy(self.broker.port, watch) as proxy:
            self.start_listener(FMQ_BROKER_URL=proxy.url, FMQ_MAX_PACKET_BYTES=_LARGEST)
            try:
                yield
            finally:
                self.listener.terminate()
                self.start_listener()

    def restart_broker(self, *, small: bool) -> None:
        """Let it keep few messages, or many, for a listener that is away."""
        self.broker.stop()
        self.broker.configure(_SAY_OFTEN, most_queued=_SMALL_QUEUE if small else 1_000_000)
        self.broker.start()

    def restart_processor(self) -> None:
        """End the second one, start it anew, and wait until Prometheus has seen that."""

        def started() -> str:
            found = self.prometheus.query('fmq_process_start_time_seconds{job="fmq-processor-2"}')
            return str(found[0]["value"][1]) if found else ""

        before = started()
        self.processors[1].terminate()
        self.processors[1] = self._processor("fmq-processor-2")
        wait_for(lambda: started() not in ("", before), what="Prometheus to see the start")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """An operator has paused the queue that gets few messages."""
        assert self._processes.start("pause", RARE).wait() == 0
        try:
            yield
        finally:
            assert self._processes.start("resume", RARE).wait() == 0

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

    @contextmanager
    def disk_limit(self) -> Iterator[None]:
        """Let the alert's limit for the disk lie half a room below what is free now."""
        free = shutil.disk_usage(self.folder).free
        self.prometheus.reload(_rules({"FmqDiskAlmostFull": {"512 * 1024 * 1024": str(free - _ROOM // 2)}}))
        try:
            yield
        finally:
            self.prometheus.reload(_rules({}))

    @contextmanager
    def disk_full(self) -> Iterator[None]:
        """Take the room, and let the kernel refuse what the listener wants to write."""
        ballast = self.folder / "ballast"
        _, hard = resource.prlimit(self.listener.pid, resource.RLIMIT_FSIZE)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, _ROOM)
        resource.prlimit(self.listener.pid, resource.RLIMIT_FSIZE, (_MOST_WRITTEN, hard))
        try:
            yield
        finally:
            resource.prlimit(self.listener.pid, resource.RLIMIT_FSIZE, (hard, hard))
            ballast.unlink()

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
