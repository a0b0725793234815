"""Real Mosquitto brokers, each with a port, a folder and a log of its own, and a publisher that waits for PUBACKs."""

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties

from support.wait import wait_for

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
_PIECE = 10_000
_LOWEST_PORT, _PORTS = 10_000, 20_000
_ports = count(secrets.randbelow(_PORTS))  # other processes of a test run begin elsewhere


def version(program: str = MOSQUITTO) -> str:
    """Of the Mosquitto that the tests use."""
    told = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    return told.split("\n", 1)[0].rpartition(" ")[2]


def free_port() -> int:
    """A TCP port that nothing listens on, and that nobody is given who asks the system for any.

    It lies below the ports of outgoing connections and of servers without a number.
    """
    while True:
        port = _LOWEST_PORT + next(_ports) % _PORTS
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def set_password(users: Path, user: str, password: str) -> None:
    """Make a password file with one user; a running broker reads it with ``Broker.reload``."""
    users.write_text(f"{user}:{password}\n")
    program = shutil.which("mosquitto_passwd") or "mosquitto_passwd"
    subprocess.run([program, "-U", str(users)], check=True, capture_output=True)


class Broker:
    """A Mosquitto that keeps its sessions over a restart. ``config`` adds lines to its listener's section."""

    def __init__(
        self,
        folder: Path,
        config: Sequence[str] = (),
        *,
        anonymous: bool = True,
        scheme: str = "mqtt",
        program: str = MOSQUITTO,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.scheme = scheme
        self._program = program
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "mosquitto.conf"
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(config, anonymous=anonymous)

    def configure(self, config: Sequence[str] = (), *, anonymous: bool = True, most_queued: int = 1_000_000) -> None:
        """Write the configuration; it holds from the next start. ``most_queued`` messages wait for who is away."""
        lines = [
            *(["user root"] if os.geteuid() == 0 else []),
            "persistence true",
            f"persistence_location {self.folder}/",
            "autosave_interval 1",
            f"max_queued_messages {most_queued}",
            "max_queued_bytes 0",
            "max_packet_size 67000000",
            "max_inflight_messages 10000",
            f"log_dest file {self._log}",
            *(f"log_type {kind}" for kind in ("error", "warning", "notice", "subscribe", "unsubscribe")),
            f"allow_anonymous {str(anonymous).lower()}",
            f"listener {self.port} 127.0.0.1",
            *config,
        ]
        self._config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    @property
    def saved(self) -> bytes:
        """What it has written of its sessions to its disk."""
        file = self.folder / "mosquitto.db"
        return file.read_bytes() if file.exists() else b""

    def start(self) -> Self:
        """Start it, and wait until it takes connections."""
        self._process = subprocess.Popen([self._program, "-c", str(self._config)], stdin=subprocess.DEVNULL)
        wait_for(self._answers, what="Mosquitto to take connections")
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"Mosquitto ended:\n{self.log}"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End it as an operator does: it saves its sessions."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it as a power cut does (SIGKILL)."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)
        self._process = None

    def reload(self) -> None:
        """Make it read its password file again (SIGHUP)."""
        assert self._process is not None
        self._process.send_signal(1)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()


def publish(
    port: int,
    messages: Iterable[tuple[str, bytes]],
    *,
    qos: int = 1,
    retain: bool = False,
    properties: Properties | None = None,
    deadline: float = 60.0,
) -> int:
    """Publish with MQTT 5 and wait until the broker has acknowledged every message; returns how many."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(1_000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    waiting: list[mqtt.MQTTMessageInfo] = []
    count = 0
    try:
        for topic, payload in messages:
            waiting.append(client.publish(topic, payload, qos, retain, properties))
            count += 1
            if len(waiting) >= _PIECE:
                _finish(waiting, deadline)
        _finish(waiting, deadline)
    finally:
        client.disconnect()
        client.loop_stop()
    return count


def _finish(waiting: list[mqtt.MQTTMessageInfo], deadline: float) -> None:
    for info in waiting:
        info.wait_for_publish(deadline)
        assert info.is_published(), f"the broker did not acknowledge within {deadline:g} s"
    waiting.clear()
