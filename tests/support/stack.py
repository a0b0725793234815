"""All of fmq at work in one folder, each part a real process: a broker, a listener, a processor and the web page."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fmq.message import QueueStats
from fmq.store.backends import open_store
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq_web.access.passwords import PasswordHash
from support.broker import Broker, free_port, publish
from support.memory import resident_bytes
from support.processes import FmqProcess, Processes
from support.wait import wait_for

USER, PASSWORD, READER = "alice", "correct horse battery", "bob"
MIB = 1024 * 1024
_HANDLER = '''
"""Does with a message what its user property "do" says, until there is a file with the name of its property "until"."""

import asyncio
from pathlib import Path

import fmq


async def handle(message):
    properties = dict(message.properties.user_properties)
    if Path(properties.get("until", "never")).exists():
        return
    match properties.get("do"):
        case "fail":
            raise ValueError(message.text)
        case "reject":
            raise fmq.Reject(message.text)
        case "later":
            raise fmq.Retry(after=3600)
        case "hold":
            while not Path(properties["until"]).exists():
                await asyncio.sleep(0.05)
'''


class Stack:
    """Serves ``filters``. Without ``users`` everyone may look, and nobody has to sign in."""

    def __init__(self, folder: Path, filters: Sequence[str], *, users: bool = True, processor: bool = True) -> None:
        self.folder = folder
        self.database = folder / "mqtt_queue.db"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.broker = Broker(folder / "broker")
        self._filters = filters
        self._users = users
        self._has_processor = processor
        self._stack = ExitStack()
        (folder / "plant.py").write_text(_HANDLER)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.broker)
            self.processes = stack.enter_context(Processes(self.folder))
            if self._users:
                self._write_users()
            self.listener = self.listen(*self._filters)
            self.web = self.start_web()
            if self._has_processor:
                self.processor = self.process()
                self.processor.wait_to_say("Starting processor", 60)
            self.listener.wait_to_say("subscribed successfully", 60)
            self.web.wait_to_say("Serving the web page", 60)
            self.store: Store = stack.enter_context(open_store(f"sqlite:///{self.database}"))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def listen(self, *filters: str, **settings: object) -> FmqProcess:
        """Start a listener."""
        own = {"FMQ_BROKER_URL": self.broker.url, "FMQ_RECONNECT_MAX_SECONDS": 0.5}
        return self.processes.start("listen", *filters, **{**own, **settings})

    def process(self, *queues: str, **settings: object) -> FmqProcess:
        """Start a processor with the handler above. It tries three times, and neither pauses a queue nor opens its circuit."""
        own = {
            "FMQ_HANDLER": "plant:handle",
            "FMQ_BATCH": 100,
            "FMQ_SLEEP": 0.05,
            "FMQ_MAX_RETRIES": 2,
            "FMQ_BACKOFF_INITIAL": 0.05,
            "FMQ_CIRCUIT_FAILURES": 0,
            "FMQ_DEAD_LETTER_LIMIT": 0,
            "FMQ_HANDLER_TIMEOUT": 0,
        }
        return self.processes.start("process", *queues, **{**own, **settings})

    def start_web(self, **settings: object) -> FmqProcess:
        """Start the web page, at the same port each time."""
        own: dict[str, object] = {"FMQ_WEB_PORT": self.port, "FMQ_BROKER_URL": self.broker.url}
        if self._users:
            own["FMQ_WEB_USERS_FILE"] = self.folder / "users"
        return self.processes.start("web", **{**own, **settings})

    def publish(self, topic: str, *payloads: bytes, do: str = "", until: str = "", **more: str) -> None:
        """Publish messages with user properties: what the handler does with them, and ``more``."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        pairs = {"do": do, "until": until, **more}
        properties.UserProperty = [(name, value) for name, value in pairs.items() if value]
        publish(self.broker.port, [(topic, payload) for payload in payloads], properties=properties)

    def wait_for(self, queue: str, deadline: float = 30.0, **counts: int) -> QueueStats:
        """Wait until the queue has as many messages in each state as ``counts`` say."""

        def found() -> QueueStats | None:
            stats = self.store.stats(queue)
            return stats if all(getattr(stats, name) == count for name, count in counts.items()) else None

        try:
            stats = wait_for(found, deadline, what=f"{counts} in {queue}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.store.stats(queue)}") from None
        assert stats is not None
        return stats

    def deliver(self, queue: str, topic: str, *payloads: bytes, do: str = "") -> None:
        """Publish messages and wait until they are settled."""
        stored = self.store.stats(queue).stored + len(payloads)
        self.publish(topic, *payloads, do=do)
        self.wait_for(queue, stored=stored, pending=0, claimed=0)

    def newest(self, queue: str) -> int:
        """The id of a queue's newest message."""
        return int(self.store.heads(queue, Selection(State.ANY), limit=1).heads[0].id)

    def touch(self, name: str) -> None:
        """From now on the handler succeeds with messages that wait for this file."""
        (self.folder / name).touch()

    @property
    def resident_mb(self) -> float:
        """What the web page holds in memory, in MB."""
        return resident_bytes(self.web.pid) / 1e6

    def _write_users(self) -> None:
        secret = PasswordHash.of(PASSWORD)
        (self.folder / "users").write_text(f"{USER}:operate:{secret}\n{READER}:read:{secret}\n")
