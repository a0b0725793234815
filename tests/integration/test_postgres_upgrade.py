"""Services of two versions on one PostgreSQL server: the newer ones migrate the store while the older ones work."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmq.store.backends import open_store
from support import newer_fmq
from support.broker import Broker, publish
from support.postgres import Postgres
from support.processes import FmqProcess, Processes
from support.wait import wait_for

pytestmark = pytest.mark.postgres

_HANDLER = """
from pathlib import Path


def handle(message):
    with Path("handled").open("a") as out:
        print(message.text, file=out)
"""
_HALF = 2_000
_EXIT_STORE = 3


@pytest.fixture
def server() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


class Upgrade:
    """Starts services of the present version and of a later one."""

    def __init__(self, broker: Broker, server: Postgres, folder: Path) -> None:
        common = {"FMQ_QUEUE_URL": server.url, "FMQ_RETENTION_SECONDS": "forever"}
        self._settings = {
            "listen": {**common, "FMQ_BROKER_URL": broker.url, "FMQ_CLIENT_ID": "listener"},
            "process": {**common, "FMQ_HANDLER": "handlers:handle"},
        }
        self._broker = broker
        self.server = server
        self._handled = folder / "handled"
        (folder / "handlers.py").write_text(_HANDLER)

    def start(self, processes: Processes, *arguments: str, **settings: str) -> FmqProcess:
        """A listener or a processor, once it works."""
        kind = arguments[0]
        started = processes.start(*arguments, **(self._settings[kind] | settings))
        started.wait_to_say("Connected and subscribed" if kind == "listen" else "Starting processor", 60)
        return started

    def publish(self, first: int, count: int, topic: str = "a/1") -> None:
        """Numbers as payloads."""
        numbers = range(first, first + count)
        publish(self._broker.port, ((topic, str(number).encode()) for number in numbers))

    def handled(self) -> set[str]:
        """The payloads of all handled messages."""
        return set(self._handled.read_text().split()) if self._handled.exists() else set()

    def wait_for_handled(self, count: int) -> None:
        """Until the numbers below ``count`` are handled, all of them."""
        every = set(map(str, range(count)))
        wait_for(lambda: every <= self.handled(), 90, what=f"{count} handled messages ({len(self.handled())} are)")

    def versions(self) -> list[tuple[int, int]]:
        """The schema's version and the oldest one that may use it, of each migration."""
        return [
            (version, oldest)
            for version, oldest in self.server.execute("SELECT version, oldest FROM fmq_schema ORDER BY 1")
        ]


@pytest.fixture
def upgrade(broker: Broker, server: Postgres, tmp_path: Path) -> Upgrade:
    return Upgrade(broker, server, tmp_path)


def _newer(folder: Path, kind: str) -> Processes:
    return Processes(folder, program=(sys.executable, str(Path(newer_fmq.__file__)), kind))


@pytest.mark.timeout(240)
def test_two_versions_work_side_by_side(fmq: Processes, upgrade: Upgrade, tmp_path: Path) -> None:
    """Older services work on while a newer one migrates under load, start anew afterwards, and make queues of the new kind.

    Every message is handled, and no older service fails.
    """
    older = [upgrade.start(fmq, "listen", "a/#"), upgrade.start(fmq, "process")]
    load = threading.Thread(target=upgrade.publish, args=(0, _HALF))
    load.start()
    wait_for(upgrade.handled, 60, what="the first handled message")
    with _newer(tmp_path, "adds") as newer:
        processor = upgrade.start(newer, "process")
        load.join()
        assert upgrade.versions() == [(1, 1), (2, 1)]
        # An older one that starts only now, and declares a queue.
        older.append(upgrade.start(fmq, "listen", "b/#", FMQ_CLIENT_ID="second"))
        columns = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'colour' AND table_name LIKE 'fmq_due_%'"
        assert upgrade.server.execute(columns) == [(2,)]
        upgrade.publish(_HALF, _HALF // 2)
        upgrade.publish(_HALF + _HALF // 2, _HALF // 2, "b/1")
        upgrade.wait_for_handled(2 * _HALF)
        for service in (*older, processor):
            assert service.running, service.text[-4_000:]
            assert service.terminate(60) == 0
            assert not [line for line in service.log if line["level"] in ("ERROR", "CRITICAL")]
    with open_store(upgrade.server.url, create=False) as store:
        assert sum(store.stats(name).done for name in ("a/#", "b/#")) == 2 * _HALF
        store.delete_queue("b/#")
    assert upgrade.server.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'fmq_%_2' AND relkind = 'r'") == [
        (0,)
    ]


@pytest.mark.timeout(240)
def test_older_services_end_when_they_must(fmq: Processes, upgrade: Upgrade, tmp_path: Path) -> None:
    """A migration that older services can't work with ends them, with the reason; the newer ones go on, and nothing is lost."""
    older = [upgrade.start(fmq, "listen", "a/#"), upgrade.start(fmq, "process")]
    load = threading.Thread(target=upgrade.publish, args=(0, _HALF))
    load.start()
    wait_for(upgrade.handled, 60, what="the first handled message")
    with _newer(tmp_path, "changes") as newer:
        processor = upgrade.start(newer, "process")
        for service in older:
            assert service.wait(60) == _EXIT_STORE
            assert "written by a newer fmq (schema 2, this one knows 1)" in service.text
        load.join()
        assert upgrade.versions() == [(1, 1), (2, 2)]
        again = fmq.start("process", FMQ_QUEUE_URL=upgrade.server.url)
        assert again.wait(60) == _EXIT_STORE
        assert "written by a newer fmq" in again.text
        listener = upgrade.start(newer, "listen", "a/#")
        upgrade.publish(_HALF, _HALF)
        upgrade.wait_for_handled(2 * _HALF)
        assert (listener.terminate(60), processor.terminate(60)) == (0, 0)
