"""A broker, a listener and processors of one store under a steady load, and ways to disturb them."""

import os
import resource
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import apsw

from monitoring.programs import Target
from monitoring.surroundings import HANDLER, Certificate, Load, publish_packet
from support.broker import Broker, free_port
from support.processes import FmqProcess, Processes
from support.proxy import PUBLISH, Packet, Proxy
from support.wait import wait_for

QUEUE = "sensors/#"
RARE = "rare"
LEASE = 2
_TURN = 0.1
_MOST_WRITTEN = 256 * 1024
_SMALL_QUEUE = 20
_LARGEST = 131_072
_SAY_OFTEN = ("sys_interval 1",)
_OTHER_VERSION = "import fmq; fmq.__version__ = '0.1.0'; from fmq.cli.main import main; main()"


class Installation:
    """One store with a broker, a listener and two processors. The listener uses TLS, the load does not."""

    def __init__(self, name: str, folder: Path, *, queues: Sequence[str], rate: int, **listening: object) -> None:
        """``rate`` is in messages per second, ``listening`` are settings of the listener."""
        self.name = name
        self.folder = folder
        self.database = folder / "mqtt_queue.db"
        self._queues = queues
        self._listening = listening
        folder.mkdir()
        (folder / "watched.py").write_text(HANDLER, encoding="utf-8")
        self.handler("well")
        self._ports = {job: free_port() for job in ("listener", "processor", "processor-2", "stray")}
        self._certificate = Certificate(folder / "certificate")
        self._tls_port = free_port()
        self.broker = Broker(folder / "broker")
        self._configure()
        self._processes = Processes(folder)
        self._load = Load(self.broker.port, rate)
        self._ends = ExitStack()

    def _configure(self, *, most_queued: int = 1_000_000) -> None:
        tls = (
            f"listener {self._tls_port} 127.0.0.1",
            f"certfile {self._certificate.cert}",
            f"keyfile {self._certificate.key}",
        )
        self.broker.configure([*_SAY_OFTEN, *tls], most_queued=most_queued)

    def __enter__(self) -> Self:
        with ExitStack() as begun:
            begun.enter_context(self.broker)
            begun.enter_context(self._processes)
            self.start_listener()
            self.start_processors()
            begun.enter_context(self._load)
            self._ends = begun.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ends.close()

    def target(self, part: str) -> Target:
        """What Prometheus asks: of the listener, ``processor``, ``processor-2`` or ``stray``."""
        job = "fmq-listener" if part == "listener" else "fmq-processor"
        return Target(job, self._ports[part], {"installation": self.name})

    def instance(self, part: str) -> str:
        """The label that Prometheus gives to a target."""
        return f"127.0.0.1:{self._ports[part]}"

    def page(self, part: str) -> str:
        """The metrics that a service shows."""

        def read() -> str:
            try:
                with urllib.request.urlopen(f"http://{self.instance(part)}/metrics", timeout=5) as answer:
                    return str(answer.read().decode())
            except OSError:
                return ""

        return wait_for(read, what=f"the page of {part}")

    def reconnects(self) -> float:
        """How often the listener has connected anew."""
        (line,) = [one for one in self.page("listener").split("\n") if one.startswith("fmq_reconnects_total ")]
        return float(line.split()[1])

    def _processor(self, part: str) -> FmqProcess:
        return self._start_processor(self._processes, part)

    def _start_processor(self, processes: Processes, part: str, **more: object) -> FmqProcess:
        settings = {
            "FMQ_BATCH": "5",
            "FMQ_SLEEP": "0.2",
            "FMQ_TOPICS": ",".join(self._queues),
            "FMQ_HANDLER": "watched:handle",
            "FMQ_MAX_RETRIES": "1",
            "FMQ_CIRCUIT_FAILURES": "100000",  # only when the handler says so
            "FMQ_CIRCUIT_MAXIMUM": "2",
            "FMQ_DEAD_LETTER_LIMIT": "0",  # a failing handler would pause the queue
            "FMQ_BACKOFF_INITIAL": "0.2",
            "FMQ_LEASE_SECONDS": str(LEASE),
            "FMQ_BUSY_SECONDS": "2",
            "FMQ_GRACE_SECONDS": "5",
            "FMQ_HTTP_PORT": self._ports[part],
        }
        return processes.start("process", **settings, **more)

    def handler(self, mode: str) -> None:
        """How the handler does from now on: well, fail, down, or slow."""
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

    def publish_poison(self) -> None:
        """What the handler gives up at once."""
        for _ in range(5):
            self._load.once("sensors/poison", b"poison")

    def publish_much(self) -> None:
        """Large messages: 100 MB."""
        for _ in range(100):
            self._load.once("sensors/large", bytes(1_000_000))

    def start_listener(self, **settings: object) -> None:
        self.listener = self._processes.start(
            "listen",
            *self._queues,
            **{
                **({} if "FMQ_BROKER_URL" in settings else self._broker_settings),
                "FMQ_CLIENT_ID": self.name,
                "FMQ_BROKER_STATS": "true",
                "FMQ_RECONNECT_MAX_SECONDS": "0.5",
                "FMQ_BUSY_SECONDS": "2",
                "FMQ_HTTP_PORT": self._ports["listener"],
                **self._listening,
                **settings,
            },
        )
        self.listener.wait_to_say("Connected and subscribed")

    @property
    def _broker_settings(self) -> dict[str, object]:
        return {"FMQ_BROKER_URL": f"mqtts://127.0.0.1:{self._tls_port}", "FMQ_TLS_CA_FILE": self._certificate.ca}

    @contextmanager
    def strange_broker(self) -> Iterator[None]:
        """One that also hands over what nobody has subscribed to, and packets above the announced maximum."""
        strange = publish_packet("elsewhere", b"{}") + publish_packet("sensors/large", bytes(2 * _LARGEST))

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
        self._configure(most_queued=_SMALL_QUEUE if small else 1_000_000)
        self.broker.start()

    @contextmanager
    def short_certificate(self) -> Iterator[None]:
        """The broker uses a certificate that expires in ten days."""
        self._use_certificate(days=10)
        try:
            yield
        finally:
            self._use_certificate(days=365)

    def _use_certificate(self, *, days: int) -> None:
        self._certificate.issue(days=days)
        before = self.reconnects()
        self.restart_broker(small=False)
        wait_for(lambda: self.reconnects() > before, what="the listener to be back")

    def restart_processor(self) -> None:
        """End the second one and start it anew."""
        self.processors[1].terminate()
        self.processors[1] = self._processor("processor-2")

    @contextmanager
    def stray(self) -> Iterator[None]:
        """A third processor runs with an older version, on a store of its own."""
        program = (sys.executable, "-c", _OTHER_VERSION)
        with Processes(self.folder, program=program) as processes:
            started = self._start_processor(processes, "stray", FMQ_QUEUE_URL=f"sqlite:///{self.folder}/other.db")
            yield
            started.terminate()

    @contextmanager
    def few_files(self) -> Iterator[None]:
        """The kernel lets the second processor open hardly more files than it has open."""
        process = self.processors[1].pid
        soft, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
        has = len([*Path(f"/proc/{process}/fd").iterdir()])
        resource.prlimit(process, resource.RLIMIT_NOFILE, (has + has // 10 + 1, hard))
        try:
            yield
        finally:
            resource.prlimit(process, resource.RLIMIT_NOFILE, (soft, hard))

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
        self.processors = [self._processor(part) for part in ("processor", "processor-2")]

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
    def no_room(self, room: int) -> Iterator[None]:
        """A large file takes the room, and the kernel refuses what the listener wants to write."""
        ballast = self.folder / "ballast"
        _, hard = resource.prlimit(self.listener.pid, resource.RLIMIT_FSIZE)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, room)
        resource.prlimit(self.listener.pid, resource.RLIMIT_FSIZE, (_MOST_WRITTEN, hard))
        try:
            yield
        finally:
            resource.prlimit(self.listener.pid, resource.RLIMIT_FSIZE, (hard, hard))
            ballast.unlink()
