"""fmq's processes against one broker and one version of MQTT, with names of their own."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from support.brokers.plain import Plain
from support.brokers.service import Service
from support.processes import FMQ, FmqProcess, Processes
from support.rows import Rows
from support.wait import wait_for

SUBSCRIBED = "Connected and subscribed successfully"
ARRIVAL_SECONDS = 60.0
_RUN = uuid4().hex[:6]
_numbers = count(1)


def spoken(service: Service) -> Sequence[str]:
    """The versions of MQTT whose CONNECT the broker accepts."""
    found = []
    for version in ("5", "3.1.1"):
        client = service.plain(version, f"speaks{_RUN}").connect()
        if not client.refusal:
            found.append(version)
        client.close()
    assert found, f"{service.title} accepts no plain client:\n{service.log[-2000:]}"
    return found


class Trial:
    """``name`` is the client id of its listener and the first level of its topics: no other trial has it."""

    def __init__(self, service: Service, version: str, folder: Path, says: Callable[..., None]) -> None:
        self.service = service
        self.version = version
        self.name = f"t{_RUN}n{next(_numbers)}"
        self.folder = folder
        folder.mkdir(parents=True)
        self.fmq = Processes(folder)
        self._says = says

    def says(self, text: str) -> None:
        """Write a cell of the table for this version."""
        self._says(text, self.version)

    def topic(self, rest: str) -> str:
        return f"{self.name}/{rest}"

    def settings(self, *, scheme: str = "mqtt", database: str = "queue") -> dict[str, str]:
        """The settings of every fmq process here: those of the page, the address and the user."""
        found = {
            **self.service.settings,
            "FMQ_BROKER_URL": self.service.url(scheme, self.version),
            "FMQ_MQTT_VERSION": self.version,
            "FMQ_CLIENT_ID": self.name,
            "FMQ_QUEUE_URL": f"sqlite:///{self.folder}/{database}.db",
            "FMQ_RETENTION_SECONDS": "forever",
            "FMQ_RECONNECT_MAX_SECONDS": "1",
        }
        if self.service.certificates is not None:
            found["FMQ_TLS_CA_FILE"] = str(self.service.certificates.ca)
        return found

    def listen(
        self,
        *arguments: str,
        scheme: str = "mqtt",
        database: str = "queue",
        ready: bool = True,
        fmq: Processes | None = None,
        **settings: Any,  # noqa: ANN401 - what a setting may be
    ) -> FmqProcess:
        """Start a listener, and wait until it is subscribed if it has to be ``ready``."""
        chosen = {**self.settings(scheme=scheme, database=database), **settings}
        process = (fmq or self.fmq).start(
            "listen", *arguments, **{name: value for name, value in chosen.items() if value is not None}
        )
        if ready:
            process.wait_to_say(SUBSCRIBED, 60)
        return process

    def process(self, *arguments: str, database: str = "queue", **settings: object) -> FmqProcess:
        url = f"sqlite:///{self.folder}/{database}.db"
        chosen = {"FMQ_QUEUE_URL": url, "FMQ_BATCH": 1000, "FMQ_LOG_LEVEL": "WARNING", **settings}
        return self.fmq.start("process", *arguments, **chosen)

    def away(self, *topics: str, **settings: Any) -> None:  # noqa: ANN401 - what a setting may be
        """Have a listener subscribe and end: its session is the broker's from now on."""
        assert self.listen(*topics, **settings).terminate() == 0

    @contextmanager
    def plain(self, client_id: str = "", *, clean: bool = True, most: int | None = None) -> Iterator[Plain]:
        with self.service.plain(self.version, client_id, clean=clean, most=most) as client:
            yield client

    def publish(self, messages: Iterable[tuple[str, bytes]], *, qos: int = 1, retain: bool = False) -> int:
        """By a plain client; returns when the broker has acknowledged all of them."""
        with self.plain() as client:
            return client.publish(messages, qos=qos, retain=retain)

    def payloads(self, queue: str, database: str = "queue") -> list[bytes]:
        """What is stored in a queue; nothing if the queue does not exist."""
        rows = Rows(self.folder / f"{database}.db")
        try:
            return rows.payloads(queue)
        except AssertionError:
            return []
        finally:
            rows.close()

    def await_stored(
        self, queue: str, expected: Iterable[bytes], *, deadline: float = ARRIVAL_SECONDS, database: str = "queue"
    ) -> list[bytes]:
        """Wait until every one of ``expected`` is in the queue; returns all that is. Fails with what is missing."""
        wanted = set(expected)

        def missing() -> set[bytes]:
            return wanted - set(self.payloads(queue, database))

        try:
            wait_for(lambda: not missing(), deadline, what=f"{len(wanted)} messages in {queue}")
        except AssertionError:
            lost = sorted(missing())
            raise AssertionError(
                f"{len(lost)} of {len(wanted)} messages acknowledged by the broker are not in {queue}, such as {lost[:3]}"
            ) from None
        return self.payloads(queue, database)

    def elsewhere(self, host: str) -> Processes:
        """Starts processes on a machine whose name is ``host``, in a namespace of its own."""
        renamed = ["unshare", "--uts", "sh", "-c", f'hostname {host} && exec "$0" "$@"', str(FMQ)]
        return Processes(self.folder, program=renamed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.fmq.__exit__(*exc)


def numbered(what: str, number: int) -> list[bytes]:
    """Payloads that differ."""
    return [f"{what} {n}".encode() for n in range(number)]
