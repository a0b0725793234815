"""Real services over faults of a cluster: what they say meanwhile, and that each message is stored and settled once."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from chaos.acknowledged import Acknowledged
from cluster.cluster import Cluster
from cluster.node import killed
from cluster.traffic import LEASE_SECONDS, QUEUE, SUBSCRIBED, Traffic, figures, is_ready, problem
from fmq.store.backends import open_store
from support.broker import Broker, publish
from support.lossy import LossyProxy
from support.postgres import Postgres
from support.processes import FmqProcess, Processes
from support.proxy import Proxy
from support.wait import wait_for

DOWN_SECONDS = float(os.environ.get("FMQ_CLUSTER_DOWN_SECONDS", "5"))
_TESTS = Path(__file__).resolve().parents[1]
_DISK_BYTES = 192 * 1024 * 1024


class Bench:
    """A broker, and a listener behind a proxy that sees what it acknowledges."""

    def __init__(self, folder: Path, url: str, ends: ExitStack) -> None:
        self.url = url
        self.acknowledged = Acknowledged()
        self._broker = ends.enter_context(Broker(folder / "broker"))
        self._proxy = ends.enter_context(Proxy(self._broker.port, self.acknowledged))
        self.fmq = ends.enter_context(Processes(folder))
        self._sent = 0

    def listen(self) -> FmqProcess:
        return self.fmq.start(
            "listen",
            QUEUE,
            FMQ_BROKER_URL=self._proxy.url,
            FMQ_QUEUE_URL=self.url,
            FMQ_CLIENT_ID="listener",
            FMQ_DUPLICATES="session",
        )

    def process(self, handler: str, **settings: object) -> FmqProcess:
        return self.fmq.start(
            "process",
            QUEUE,
            FMQ_QUEUE_URL=self.url,
            FMQ_HANDLER=handler,
            PYTHONPATH=_TESTS,
            **{"FMQ_LEASE_SECONDS": LEASE_SECONDS, **settings},
        )

    def publish(self, count: int, *, size: int = 20) -> None:
        """Messages with the next numbers. The space keeps them apart from what is before them in a packet."""
        numbers = range(self._sent, self._sent + count)
        publish(self._broker.port, [(f"a/{number % 9}", f" {number}.".ljust(size, "x").encode()) for number in numbers])
        self._sent += count

    def await_acknowledged(self) -> None:
        """Wait until everything is acknowledged, and look whether it is stored, each message once."""
        wait_for(lambda: self.acknowledged.numbers == set(range(self._sent)), 60, what="all acknowledgements")
        with open_store(self.url) as store:
            wait_for(lambda: store.stats(QUEUE).stored >= self._sent, 30, what="all messages in the store")
            assert store.stats(QUEUE).stored == self._sent


@pytest.fixture
def ends() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def bench(cluster: Cluster, tmp_path: Path, ends: ExitStack) -> Bench:
    """On a new database of the cluster."""
    return Bench(tmp_path, cluster.new_database(), ends)


def test_a_commit_that_is_cancelled(cluster: Cluster, bench: Bench) -> None:
    """While it waits for a standby, somebody cancels it: nothing is acknowledged until a standby has it. It is stored once."""
    listener = bench.listen()
    listener.wait_to_say(SUBSCRIBED, 60)
    bench.publish(5)
    bench.await_acknowledged()
    for node in cluster.standbys:
        node.host.cut_off()
    bench.publish(1)
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'COMMIT%%'"
    (pid,) = wait_for(lambda: cluster.primary.ask(waiting), 30, what="the commit to wait")[0]
    cluster.primary.ask("SELECT pg_cancel_backend(%s)", pid)
    listener.wait_to_say("the commit may be lost with the primary", 30)
    assert "may be lost" in (problem(listener, "store") or "")
    assert bench.acknowledged.numbers == set(range(5))
    for node in cluster.standbys:
        node.host.reconnect()
    listener.wait_to_say("Intake resumed", 60)
    bench.await_acknowledged()
    assert listener.terminate() == 0


def test_no_standby_is_left(cluster: Cluster, bench: Bench) -> None:
    """Commits wait: the listener is alive and not ready, and acknowledges nothing. With a standby it goes on, without a restart."""
    listener = bench.listen()
    listener.wait_to_say(SUBSCRIBED, 60)
    for node in cluster.standbys:
        node.host.cut_off()
    bench.publish(3)
    wait_for(lambda: "under way" in (problem(listener, "store") or ""), 30, what="a commit that takes long")
    assert '"ok"' in listener.get("healthz")
    assert bench.acknowledged.numbers == set()
    for node in cluster.standbys:
        node.host.reconnect()
    bench.await_acknowledged()
    wait_for(lambda: is_ready(listener), 30, what="a listener that is ready again")
    assert listener.terminate() == 0


def test_a_reply_that_is_lost(ends: ExitStack, tmp_path: Path) -> None:
    """The server commits, and the connection ends before its reply arrives: stored once, and acknowledged."""
    server = ends.enter_context(Postgres())
    proxy = ends.enter_context(LossyProxy(server.port))
    bench = Bench(tmp_path, server.url.replace(f":{server.port}/", f":{proxy.port}/"), ends)
    listener = bench.listen()
    listener.wait_to_say(SUBSCRIBED, 60)
    bench.publish(3)
    bench.await_acknowledged()
    proxy.lose_reply_to(b" 3.xxxx")
    bench.publish(1)
    assert proxy.lost.wait(30)
    listener.wait_to_say("Intake stopped", 30)
    bench.await_acknowledged()
    assert listener.terminate() == 0


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, in memory, that any user may use."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=1777", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk(place: Path, tmp_path: Path, ends: ExitStack) -> None:
    """Intake stops, says so, and acknowledges nothing. With room, and the server running, it goes on without a restart."""
    disk = ends.enter_context(small_disk(place / "small"))
    server = ends.enter_context(Postgres("min_wal_size=32MB", "max_wal_size=64MB", parent=disk))
    bench = Bench(tmp_path, server.url, ends)
    listener = bench.listen()
    listener.wait_to_say(SUBSCRIBED, 60)
    bench.publish(10)
    bench.await_acknowledged()
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1024 * 1024))
    bench.publish(400, size=100_000)
    listener.wait_to_say("Intake stopped", 60)
    assert problem(listener, "store")
    assert len(bench.acknowledged.numbers) < 410
    ballast.unlink()
    if not server.running:  # it can't go on when its log has no room
        server.start()
    bench.await_acknowledged()
    assert is_ready(listener)
    assert listener.terminate() == 0


def test_idle_sessions_that_are_ended(cluster: Cluster, bench: Bench) -> None:
    """Services notice, and connect again: nothing is lost, and none of them ends."""
    listener, processor = bench.listen(), bench.process("log")
    listener.wait_to_say(SUBSCRIBED, 60)
    bench.publish(50)
    with open_store(bench.url) as store:
        wait_for(lambda: store.stats(QUEUE).done == 50, 60, what="all messages to be handled")
    ended = cluster.primary.ask(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'fmq' AND state = 'idle'"
    )
    assert ended[0][0] >= 3
    bench.publish(50)
    bench.await_acknowledged()
    with open_store(bench.url) as store:
        wait_for(lambda: store.stats(QUEUE).done == 100, 60, what="all messages to be handled")
    for service in (listener, processor):
        wait_for(lambda one=service: is_ready(one), 30, what="a service that is ready")  # type: ignore[misc]
        assert service.terminate() == 0


def test_a_standby_as_the_only_target(cluster: Cluster, bench: Bench) -> None:
    """A service waits as long as the server is a standby, and begins when it is the primary."""
    standby = cluster.standbys[0]
    bench.url = f"postgresql://fmq@{standby.host.address}/{cluster.newest}"
    listener = bench.listen()
    listener.wait_to_say("is a standby or read-only", 60)
    cluster.fail_over(killed, to=standby)
    cluster.heal()
    listener.wait_to_say(SUBSCRIBED, 60)
    bench.publish(5)
    bench.await_acknowledged()
    assert listener.terminate() == 0


def test_all_nodes_are_down(cluster: Cluster, bench: Bench) -> None:
    """Services are alive and not ready, and say why. When the nodes are back they go on without a restart."""
    services = listener, processor = bench.listen(), bench.process("log")
    listener.wait_to_say(SUBSCRIBED, 60)
    processor.wait_to_say("Starting processor", 60)
    bench.publish(20)
    bench.await_acknowledged()
    began = time.monotonic()
    for node in cluster.nodes:
        node.kill()
    bench.publish(20)
    for service in services:
        wait_for(lambda one=service: problem(one, "store"), 30, what="a service that is not ready")  # type: ignore[misc]
    wait_for(lambda: time.monotonic() - began >= DOWN_SECONDS, DOWN_SECONDS + 30, what="the end of the outage")
    for service in services:
        assert problem(service, "store")
        assert '"ok"' in service.get("healthz")
    for node in cluster.nodes:
        node.start(wait=False)
    bench.await_acknowledged()
    with open_store(bench.url) as store:
        wait_for(lambda: store.stats(QUEUE).done == 40, 60, what="all messages to be handled")
    for service in (listener, processor):
        wait_for(lambda one=service: is_ready(one), 30, what="a service that is ready again")  # type: ignore[misc]
        assert service.terminate() == 0


def test_a_batch_in_hand(cluster: Cluster, bench: Bench, tmp_path: Path) -> None:
    """A handler works on a batch while the primary dies. It is settled once on the new one, and nothing is handled again."""
    listener = bench.listen()
    listener.wait_to_say(SUBSCRIBED, 60)
    bench.publish(30)
    bench.await_acknowledged()
    journal, gate = tmp_path / "handled", tmp_path / "gate"
    processor = bench.process(
        "cluster.handlers:note_at_gate", FMQ_BATCH=30, FMQ_LEASE_SECONDS=60, CLUSTER_JOURNAL=journal, CLUSTER_GATE=gate
    )
    with open_store(bench.url) as store:
        wait_for(lambda: (found := figures(store)) and found.claimed == 30, 60, what="the claim")
        cluster.await_received()
        cluster.fail_over(killed)
        gate.touch()
        cluster.heal()
        wait_for(lambda: (found := figures(store)) and found.done == 30, 60, what="the settlement")
    assert processor.terminate() == 0
    assert sorted(map(int, journal.read_text().split())) == list(range(30))
    assert not processor.said("settled too late")
    assert listener.terminate() == 0


def test_traffic_over_immediate_stops(cluster: Cluster, tmp_path: Path) -> None:
    """A primary that is stopped at once and started again at once: nothing is promoted, and nothing is lost."""
    count = 4_000
    with Traffic(tmp_path / "run", cluster.new_database(), count, listeners=1, processors=1) as traffic:
        for part in (1, 2):
            traffic.allow(count * part // 3)
            traffic.await_stored(count * (2 * part - 1) // 6)
            cluster.primary.stop()
            cluster.primary.start()
        verdict = traffic.finish(120)
    assert verdict[:2] == (0, 0)
    assert verdict.faults == ()
