"""A broker that `make test-brokers` has installed, as a real service on free ports, configured by its page in the docs."""

import os
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from support.broker import free_port
from support.brokers.pages import settings
from support.brokers.plain import Address, Plain
from support.certificates import Certificates
from support.wait import wait_for

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "build" / "brokers"
USUAL_PORTS: Mapping[str, str] = {"mqtt": "1883", "mqtts": "8883", "ws": "8080", "wss": "8443"}
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0


class Missing(Exception):
    """The broker is not installed here."""


class Service(ABC):
    """One broker, stopped at first. ``secure``: with TLS, by the page's block for it."""

    title: ClassVar[str]
    page: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]] = ("mqtt",)
    secure_schemes: ClassVar[tuple[str, ...]] = ("mqtts",)
    ws_path: ClassVar[str] = "/mqtt"
    limited_user: ClassVar[tuple[str, str] | None] = None
    """Name and password of a user who may not subscribe to secret/#, where the broker can forbid that."""

    def __init__(self, folder: Path, *, secure: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.secure = secure
        self.certificates = Certificates(folder / "tls") if secure else None
        self.ports = {scheme: free_port() for scheme in self.offered}
        self.log_file = folder / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.configure()

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Of the program. Raises Missing where it is not installed."""

    @abstractmethod
    def configure(self) -> None:
        """Write the configuration."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What to run; it stays in the foreground."""

    def ready(self) -> bool:
        """Whether it has started: by default, whether it takes connections."""
        return all(listens(port) for port in self.ports.values())

    def await_saved(self) -> None:  # noqa: B027 - most have nothing to do
        """Wait until what it has acknowledged survives a kill. Most brokers write before they acknowledge."""

    @property
    def offered(self) -> tuple[str, ...]:
        return self.secure_schemes if self.secure else self.schemes

    @property
    def settings(self) -> dict[str, str]:
        """What the page tells fmq to set, without the URL."""
        return {name: value for name, value in settings(self.page).items() if name != "FMQ_BROKER_URL"}

    def url(self, scheme: str = "mqtt", version: str = "5") -> str:  # noqa: ARG002 - some have a port for each version
        path = self.ws_path if scheme.startswith("ws") else ""
        return f"{scheme}://127.0.0.1:{self.ports[scheme]}{path}"

    def address(self, version: str, scheme: str = "mqtt", user: tuple[str, str] | None = None) -> Address:
        """For a plain client."""
        told = self.settings
        name, password = user or (told.get("FMQ_BROKER_USERNAME"), told.get("FMQ_BROKER_PASSWORD"))
        ca = str(self.certificates.ca) if self.certificates and scheme in {"mqtts", "wss"} else None
        return Address(self.url(scheme, version), version, name, password, ca)

    def plain(
        self,
        version: str,
        client_id: str = "",
        *,
        clean: bool = True,
        scheme: str = "mqtt",
        user: tuple[str, str] | None = None,
        most: int | None = None,
    ) -> Plain:
        """A client that is not connected yet."""
        return Plain(self.address(version, scheme, user), client_id, clean=clean, most=most)

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def start(self) -> Self:
        """Start it and wait until it is ready."""
        with self.log_file.open("ab") as out:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                start_new_session=True,
            )
        wait_for(self._is_up, _START_SECONDS, what=f"{self.title} to start")
        return self

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.title} ended:\n{self.log[-4000:]}"
        return self.ready()

    def stop(self) -> None:
        """End it as an operator does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its children with SIGKILL."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)  # its own session: nobody else's processes are in it
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise AssertionError(f"{self.title} did not stop within {_STOP_SECONDS:g} s:\n{self.log[-4000:]}") from None
        finally:
            self._process = None
        wait_for(lambda: not any(map(listens, self.ports.values())), what=f"the ports of {self.title} to be free")

    def close(self) -> None:
        """End it for good and remove what it leaves outside of its folder."""
        self._end(signal.SIGKILL)

    def usual(self) -> dict[str, object]:
        """The usual ports, and the port of this run that stands for each."""
        return {USUAL_PORTS[scheme]: port for scheme, port in self.ports.items()}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()


def listens(port: int) -> bool:
    """Whether something accepts connections at that port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
