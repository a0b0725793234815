"""Nothing is acknowledged without a commit, and nothing is lost: on the wire, on a failing store, under SIGKILL."""

import os
import random
import re
import resource
import threading
from collections import defaultdict
from pathlib import Path

import apsw
import pytest

from fmq.service.lifecycle import Shutdown
from fmq.store.backends import open_store
from fmq_listener.mqtt.session import Session
from fmq_listener.settings import ListenerSettings
from support.broker import Broker, publish
from support.processes import FmqProcess, Processes
from support.proxy import PUBACK, PUBLISH, Packet, Proxy
from support.rows import Rows
from support.wait import wait_for

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])
_SUBSCRIBED = "Connected and subscribed successfully"
_FAST = {"FMQ_RECONNECT_MAX_SECONDS": "0.2"}
_CUTS = 5
_KILLS = 5
_MESSAGES = int(os.environ.get("FMQ_TEST_MESSAGES", "2500"))


class _Wire:
    """Watches the packets between a listener and its broker.

    For each PUBACK, before it goes on: the connection that it is on brought that packet id, and its turn has come.
    ``early`` holds the payloads acknowledged while no committed row held them.
    """

    def __init__(self, database: Path, queue: str, *, cut_at_ack: int = 0, cut_at_publish: int = 0) -> None:
        self._database = database
        self._queue = queue
        self._cut_at_ack = cut_at_ack
        self._cut_at_publish = cut_at_publish
        self._rows: dict[int, Rows] = {}
        self._open: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
        self._lock = threading.Lock()
        self.early: list[bytes] = []
        self.out_of_turn: list[tuple[int, int]] = []
        self.publishes = 0
        self.acknowledged = 0
        self.cuts = 0
        self.settled: set[bytes] = set()

    def __call__(self, packet: Packet) -> bytes | None:
        with self._lock:
            if packet.kind == PUBLISH and not packet.to_broker:
                self.publishes += 1
                if self._due(self._cut_at_publish, self.publishes):
                    self.cuts += 1
                    return None
                self._open[packet.connection].append((packet.packet_id, _payload(packet)))
            if packet.kind == PUBACK and packet.to_broker:
                return self._judge(packet)
            return packet.raw

    def _judge(self, packet: Packet) -> bytes | None:
        waiting = self._open[packet.connection]
        if not waiting or waiting[0][0] != packet.packet_id:
            self.out_of_turn.append((packet.connection, packet.packet_id))
            return packet.raw
        _, payload = waiting.pop(0)
        if not self._reader().holds(self._queue, payload):
            self.early.append(payload)
        self.acknowledged += 1
        if self._due(self._cut_at_ack, self.acknowledged):
            self.cuts += 1
            return None
        self.settled.add(payload)
        return packet.raw

    def _due(self, every: int, count: int) -> bool:
        return every > 0 and count % every == 0 and self.cuts < _CUTS

    def _reader(self) -> Rows:
        return self._rows.setdefault(threading.get_ident(), Rows(self._database))


def _payload(packet: Packet) -> bytes:
    """Of a PUBLISH: the tests' payloads begin with the only # in them."""
    return packet.body[packet.body.rindex(b"#") :]


def _listen(fmq: Processes, url: str, topic: str = "w", **settings: object) -> FmqProcess:
    listener = fmq.start("listen", topic, FMQ_BROKER_URL=url, FMQ_CLIENT_ID="fixed", **_FAST, **settings)
    listener.wait_to_say(_SUBSCRIBED)
    return listener


def _received(listener: FmqProcess) -> int:
    found = re.search(r"^fmq_received_total (.+)$", listener.get("metrics"), re.MULTILINE)
    return int(float(found[1])) if found else 0


def _payloads(count: int) -> list[bytes]:
    return [b"#%d" % number for number in range(count)]


@VERSIONS
def test_each_puback_follows_the_commit_that_holds_its_message(
    broker: Broker, fmq: Processes, database: Path, version: str
) -> None:
    """Seen on the wire: at the moment of a PUBACK another connection finds the row, and PUBACKs are in order."""
    wire = _Wire(database, "w")
    with Proxy(broker.port, wire) as proxy:
        listener = _listen(fmq, proxy.url, FMQ_MQTT_VERSION=version)
        publish(broker.port, (("w", payload) for payload in _payloads(1_000)))
        wait_for(lambda: wire.acknowledged == 1_000, what="1,000 PUBACKs")
        assert listener.terminate() == 0
        assert not proxy.errors
    assert wire.early == []
    assert wire.out_of_turn == []


def test_a_commit_that_waits_holds_its_pubacks_back(broker: Broker, fmq: Processes, database: Path) -> None:
    """While another writer holds the lock, messages come in and no PUBACK goes out, until the lock is free."""
    wire = _Wire(database, "w")
    with Proxy(broker.port, wire) as proxy:
        listener = _listen(fmq, proxy.url)
        holder = apsw.Connection(str(database))
        for start in range(0, 200, 100):
            holder.execute("BEGIN IMMEDIATE")
            publish(broker.port, (("w", b"#%d" % (start + number)) for number in range(100)))
            wait_for(lambda start=start: _received(listener) > start, what="a batch before its commit")  # type: ignore[misc]
            publish(broker.port, [("elsewhere", b"")])  # a round trip, in which a PUBACK sent too early passes
            assert wire.acknowledged == start
            holder.execute("ROLLBACK")
            wait_for(lambda start=start: wire.acknowledged == start + 100, what="the PUBACKs")  # type: ignore[misc]
        assert not proxy.errors
    holder.close()
    assert wire.early == []
    assert wire.out_of_turn == []


@pytest.mark.parametrize("cut", ["between commit and PUBACK", "while a batch arrives"])
def test_a_cut_connection_never_leads_to_an_acknowledgement_on_the_next(
    broker: Broker, fmq: Processes, database: Path, cut: str
) -> None:
    """Each connection sees PUBACKs only for what came on it, in order, from its first message on; nothing is lost."""
    wire = _Wire(database, "w", **{"cut_at_ack" if "PUBACK" in cut else "cut_at_publish": 97})
    with Proxy(broker.port, wire) as proxy:
        _listen(fmq, proxy.url)
        sent = _payloads(600)
        publish(broker.port, (("w", payload) for payload in sent))
        wait_for(lambda: wire.settled == set(sent), 30, what="a PUBACK for every message")
        assert not proxy.errors
    assert set(Rows(database).payloads("w")) == set(sent)
    assert wire.cuts == _CUTS
    assert wire.early == []
    assert wire.out_of_turn == []


@VERSIONS
def test_a_batch_of_an_ended_connection_is_not_acknowledged(broker: Broker, tmp_path: Path, version: str) -> None:
    """The session itself refuses: the packet ids of the old connection would name other messages on the new one."""
    acks: list[int] = []

    def watch(packet: Packet) -> bytes:
        if packet.kind == PUBACK and packet.to_broker:
            acks.append(packet.packet_id)
        return packet.raw

    shutdown = Shutdown()
    with Proxy(broker.port, watch) as proxy, open_store(f"sqlite:///{tmp_path}/q.db") as queue:
        settings = ListenerSettings.model_validate(
            {"topics": ("w",), "broker_url": proxy.url, "mqtt_version": version, "keepalive_seconds": 5}
        )
        session = Session(settings, client_id="one", store=queue, shutdown=shutdown)
        session.connect()
        wait_for(lambda: (session.poll(0.1), session.subscribed)[1], what="the subscription")
        publish(broker.port, [("w", b"#1")])
        old = wait_for(lambda: session.poll(0.1), what="the message")
        assert old.packet_ids
        session.close(1)
        assert session.acknowledge(old) == 0
        session.connect()
        assert session.acknowledge(old) == 0
        again = wait_for(lambda: session.poll(0.1), what="the message again")
        assert [one.payload for one in again.messages] == [b"#1"]
        assert acks == []
        assert session.acknowledge(again) == 1
        wait_for(lambda: acks == again.packet_ids, what="its PUBACK")
        session.close(5)
    shutdown.close()


def test_while_the_store_cannot_be_written_nothing_is_acknowledged(
    broker: Broker, fmq: Processes, database: Path
) -> None:
    """Another process holds the write lock: said once; the broker keeps the messages; intake continues automatically."""
    wire = _Wire(database, "w")
    sent = _payloads(300)
    with Proxy(broker.port, wire) as proxy:
        listener = _listen(fmq, proxy.url, FMQ_BUSY_SECONDS=0.1)
        holder = apsw.Connection(str(database))
        holder.execute("BEGIN IMMEDIATE")
        publish(broker.port, (("w", payload) for payload in sent))
        listener.wait_to_say("Intake stopped: ")
        wait_for(lambda: proxy.idle, what="the listener to leave the broker")
        assert "fmq_store_writable 0.0" in listener.get("metrics")
        assert wire.acknowledged == 0
        holder.execute("ROLLBACK")
        listener.wait_to_say("Intake resumed")
        wait_for(lambda: wire.acknowledged == 300, what="300 PUBACKs")
        assert not proxy.errors
    assert wire.early == []
    assert Rows(database).payloads("w") == sent
    assert len(listener.said("Intake stopped: ")) == len(listener.said("Intake resumed")) == 1
    holder.close()


def test_a_full_disk_loses_nothing(broker: Broker, fmq: Processes, database: Path) -> None:
    """The kernel refuses to let the store's files grow; once it does again, everything is stored."""
    wire = _Wire(database, "w")
    sent = [b"#%d " % number + bytes(20_000) for number in range(100)]
    with Proxy(broker.port, wire) as proxy:
        listener = _listen(fmq, proxy.url)
        _, hard = resource.prlimit(listener.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(listener.pid, resource.RLIMIT_FSIZE, (200_000, hard))
        publish(broker.port, (("w", payload) for payload in sent))
        listener.wait_to_say("Intake stopped: ")
        assert wire.acknowledged < 100
        resource.prlimit(listener.pid, resource.RLIMIT_FSIZE, (hard, hard))
        listener.wait_to_say("Intake resumed")
        wait_for(lambda: wire.acknowledged == 100, what="100 PUBACKs")
        assert not proxy.errors
        assert listener.terminate() == 0
    assert wire.early == []
    assert wire.out_of_turn == []
    assert Rows(database).payloads("w") == sent


def test_intake_stops_before_the_disk_is_full(broker: Broker, fmq: Processes, database: Path) -> None:
    """Nothing is stored or acknowledged once less than the reserve is free; with enough room all of it comes."""
    wire = _Wire(database, "w")
    sent = _payloads(100)
    with Proxy(broker.port, wire) as proxy:
        listener = _listen(fmq, proxy.url, FMQ_DISK_RESERVE_BYTES=2**62)
        publish(broker.port, (("w", payload) for payload in sent))
        (stopped,) = listener.wait_to_say("Intake stopped: ")
        assert "FMQ_DISK_RESERVE_BYTES" in stopped["message"]
        assert "of the disk are free" in listener.get("readyz")
        assert listener.terminate() == 0
        assert wire.acknowledged == 0
        assert Rows(database).count("w") == 0
        _listen(fmq, proxy.url)
        wait_for(lambda: wire.acknowledged == 100, what="100 PUBACKs")
        assert not proxy.errors
    assert Rows(database).payloads("w") == sent


def test_a_database_that_was_removed_takes_nothing_more(broker: Broker, fmq: Processes, database: Path) -> None:
    """A file without a name would take messages and lose them at the end: the listener ends, and the next one has them."""
    wire = _Wire(database, "w")
    with Proxy(broker.port, wire) as proxy:
        listener = _listen(fmq, proxy.url)
        database.rename(database.with_name("elsewhere.db"))
        publish(broker.port, [("w", b"#1")])
        assert listener.wait() == 3
        assert "removed or renamed" in listener.text
        assert wire.acknowledged == 0
        _listen(fmq, proxy.url)
        wait_for(lambda: wire.acknowledged == 1, what="its PUBACK")
        assert not proxy.errors
    assert Rows(database).payloads("w") == [b"#1"]


def test_sigterm_under_load_acknowledges_everything_that_it_stored(
    broker: Broker, fmq: Processes, database: Path
) -> None:
    """Ended repeatedly while messages pour in, it exits 0 in time, and no message is stored twice."""
    assert _listen(fmq, broker.url).terminate() == 0
    sent = _payloads(2_000)
    publisher = threading.Thread(target=publish, args=(broker.port, [("w", payload) for payload in sent]))
    publisher.start()
    rows = Rows(database)
    for _ in range(3):
        listener = _listen(fmq, broker.url, FMQ_INFLIGHT=50)
        had = rows.count("w")
        wait_for(lambda had=had: rows.count("w") > had or not publisher.is_alive(), what="more rows")  # type: ignore[misc]
        assert listener.terminate(10) == 0
    _listen(fmq, broker.url)
    publisher.join()
    wait_for(lambda: rows.count("w") >= len(sent), what="all rows")
    assert rows.payloads("w") == sent


def test_a_listener_killed_before_its_commit_loses_nothing(broker: Broker, fmq: Processes, database: Path) -> None:
    """Messages were read, their commit had to wait, and SIGKILL came: the broker still has them."""
    wire = _Wire(database, "w")
    sent = _payloads(100)
    with Proxy(broker.port, wire) as proxy:
        listener = _listen(fmq, proxy.url)
        holder = apsw.Connection(str(database))
        holder.execute("BEGIN IMMEDIATE")
        publish(broker.port, (("w", payload) for payload in sent))
        wait_for(lambda: _received(listener) > 0, what="a batch before its commit")
        publish(broker.port, [("elsewhere", b"")])  # a round trip, in which a PUBACK sent too early passes
        listener.kill()
        holder.execute("ROLLBACK")
        holder.close()
        assert Rows(database).count("w") == 0
        _listen(fmq, proxy.url)
        rows = Rows(database)
        wait_for(lambda: rows.count("w") == 100, what="all rows")
        assert rows.payloads("w") == sent


@pytest.mark.timeout(1_200)
def test_a_listener_killed_at_any_moment_loses_nothing(broker: Broker, fmq: Processes, database: Path) -> None:
    """SIGKILL at random moments while messages come: every message is in the table in the end."""
    rng = random.Random(20_250_115)
    assert _listen(fmq, broker.url).terminate() == 0
    sent = _payloads(_MESSAGES)
    publisher = threading.Thread(target=publish, args=(broker.port, [("w", payload) for payload in sent]))
    publisher.start()
    rows = Rows(database)
    kills = 0
    goals = sorted(rng.sample(range(_MESSAGES * 9 // 10), _KILLS))
    for goal in goals:
        listener = fmq.start("listen", "w", FMQ_BROKER_URL=broker.url, FMQ_CLIENT_ID="fixed", FMQ_INFLIGHT=100)
        wait_for(lambda goal=goal: rows.count("w") > goal, 120, what=f"{goal} rows")  # type: ignore[misc]
        listener.kill()
        kills += 1
    _listen(fmq, broker.url)
    publisher.join()
    wait_for(lambda: rows.count("w") >= len(sent) and set(rows.payloads("w")) == set(sent), 300, what="all rows")
    assert kills == _KILLS
    first_seen = list(dict.fromkeys(rows.payloads("w")))
    assert first_seen == sent
