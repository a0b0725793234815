"""Leaving a broker before scaling in: nothing is stranded at the broker, nothing is lost, and nothing is left behind."""

import threading
import time
from pathlib import Path

import pytest

from fmq.store.backends import open_store
from support.broker import Broker, publish
from support.counting import counted
from support.firehose import Firehose, Peer, publish_packet
from support.processes import FmqProcess, Processes
from support.proxy import PUBLISH, UNSUBACK, Packet, Proxy
from support.rows import Rows
from support.scripted_broker import UNSUBSCRIBE, Connection, ScriptedBroker
from support.scripted_broker import publish as scripted_publish
from support.wait import wait_for

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])
_SUBSCRIBED = "Connected and subscribed successfully"
_SHARE = "$share/workers/jobs/#"


def _url(folder: Path, shard: int) -> str:
    return f"sqlite:///{folder}/shard-{shard}.db"


def _listen(fmq: Processes, broker: Broker | Proxy | Firehose, shard: int, version: str, *flags: str) -> FmqProcess:
    return fmq.start(
        "listen",
        *flags,
        FMQ_TOPICS=_SHARE,
        FMQ_BROKER_URL=broker.url,
        FMQ_CLIENT_ID=f"shard-{shard}",
        FMQ_MQTT_VERSION=version,
        FMQ_LEAVE_SECONDS=1,
        FMQ_QUEUE_URL=_url(fmq.folder, shard),
        FMQ_RETENTION_SECONDS="forever",
    )


def _process(fmq: Processes, shard: int) -> FmqProcess:
    return fmq.start("process", FMQ_QUEUE_URL=_url(fmq.folder, shard), FMQ_BATCH=100, FMQ_LOG_LEVEL="WARNING")


def test_three_listeners_down_to_one_under_load(broker: Broker, fmq: Processes) -> None:
    """With a shared subscription, two of three listeners go while messages pour in: each one is handled exactly once."""
    listeners = [_listen(fmq, broker, shard, "5") for shard in range(3)]
    for shard, listener in enumerate(listeners):
        listener.wait_to_say(_SUBSCRIBED)
        _process(fmq, shard)
    sent = [b"%d" % number for number in range(3_000)]
    publisher = threading.Thread(target=publish, args=(broker.port, [("jobs/x", payload) for payload in sent]))
    publisher.start()
    rows = {shard: Rows(fmq.folder / f"shard-{shard}.db") for shard in range(3)}
    for shard in (2, 1):
        wait_for(lambda shard=shard: rows[shard].count("jobs/#") > 0, what=f"messages at shard {shard}")  # type: ignore[misc]
        assert listeners[shard].terminate() == 0
        publish(broker.port, [("jobs/x", b"while %d was away, %d" % (shard, number)) for number in range(60)])
        leaving = _listen(fmq, broker, shard, "5", "--leave")
        assert leaving.wait() == 0
        assert leaving.said("Left the broker")
        assert leaving.said("Everything is handled")
        # Without leaving, these would have waited at the broker for a listener that never comes back.
        assert any(payload.startswith(b"while %d" % shard) for payload in rows[shard].payloads("jobs/#"))
    publisher.join()
    expected = sorted([*sent, *(b"while %d was away, %d" % (shard, n) for shard in (1, 2) for n in range(60))])
    wait_for(lambda: sum(rows[shard].count("jobs/#") for shard in rows) >= len(expected), what="every message")
    assert sorted(payload for shard in rows for payload in rows[shard].payloads("jobs/#")) == expected
    databases = [fmq.folder / f"shard-{shard}.db" for shard in rows]
    wait_for(lambda: all(counted(path)["jobs/#"][:2] == (0, 0) for path in databases), what="all handled")
    # Nothing more goes to those who have left.
    before = [rows[shard].count("jobs/#") for shard in (1, 2)]
    publish(broker.port, [("jobs/x", b"late %d" % number) for number in range(30)])
    wait_for(
        lambda: rows[0].payloads("jobs/#")[-30:] == [b"late %d" % number for number in range(30)], what="the last ones"
    )
    assert [rows[shard].count("jobs/#") for shard in (1, 2)] == before


@VERSIONS
def test_leaving_where_there_is_no_session(broker: Broker, fmq: Processes, version: str) -> None:
    """Leaving twice does no harm: it ends at once with exit code 0."""
    for _ in range(2):
        assert _listen(fmq, broker, 0, version, "--leave").wait() == 0


def test_it_waits_for_the_processor(broker: Broker, fmq: Processes) -> None:
    """Exit 0 only when nothing is pending; ended before that, it exits 1, so that nobody takes the volume away."""
    listener = _listen(fmq, broker, 0, "5")
    listener.wait_to_say(_SUBSCRIBED)
    publish(broker.port, [("jobs/x", b"1"), ("jobs/x", b"2")])
    wait_for(lambda: Rows(fmq.folder / "shard-0.db").count("jobs/#") == 2, what="two rows")
    assert listener.terminate() == 0
    first = _listen(fmq, broker, 0, "5", "--leave")
    first.wait_to_say("2 messages left to handle")
    assert first.terminate() == 1
    assert first.said("Run it again")
    second = _listen(fmq, broker, 0, "5", "--leave")
    second.wait_to_say("2 messages left to handle")
    _process(fmq, 0)
    assert second.wait() == 0


class _Stall:
    """Lets nothing through from the broker for ``seconds``, once, in the middle of the backlog."""

    def __init__(self, after: int, seconds: float) -> None:
        self._left = after
        self._seconds = seconds
        self.stalled = False

    def __call__(self, packet: Packet) -> bytes:
        if packet.kind == PUBLISH and not packet.to_broker:
            self._left -= 1
            if self._left == 0:
                self.stalled = True
                time.sleep(self._seconds)  # the fault itself: a network that stands still
        return packet.raw


@pytest.mark.parametrize(("version", "removed"), [("5", False), ("3.1.1", True)], ids=["leave", "removed filter"])
def test_a_network_that_stands_still_is_not_taken_for_the_end(
    broker: Broker, fmq: Processes, version: str, *, removed: bool
) -> None:
    """A pause in the middle of a backlog proves nothing: everything is stored before the subscription is given up."""
    listener = fmq.start(
        "listen", "jobs/#", "other", FMQ_BROKER_URL=broker.url, FMQ_CLIENT_ID="one", FMQ_MQTT_VERSION=version
    )
    listener.wait_to_say(_SUBSCRIBED)
    assert listener.terminate() == 0
    sent = [b"%d" % number for number in range(3_000)]
    publish(broker.port, [("jobs/x", payload) for payload in sent])
    _process_all(fmq)
    stall = _Stall(1_500, 4.0)
    with Proxy(broker.port, stall) as proxy:
        # The note is of the broker's own port: without it, nothing would tell which filter was removed.
        database = fmq.folder / "mqtt_queue.db"
        _move_note(database, broker.port, proxy.port)
        flags = ("other",) if removed else ("jobs/#", "other", "--leave")
        leaving = fmq.start(
            "listen",
            *flags,
            FMQ_BROKER_URL=proxy.url,
            FMQ_CLIENT_ID="one",
            FMQ_MQTT_VERSION=version,
            FMQ_LEAVE_SECONDS=1,
            FMQ_INFLIGHT=100,
        )
        if removed:
            leaving.wait_to_say("Unsubscribed from jobs/#", 60)
        else:
            assert leaving.wait(60) == 0
        assert stall.stalled
        assert sorted(Rows(database).payloads("jobs/#")) == sorted(sent)
        assert proxy.errors == []


def _process_all(fmq: Processes) -> None:
    fmq.start("process", FMQ_BATCH=100, FMQ_LOG_LEVEL="WARNING", FMQ_RETENTION_SECONDS="forever")


def _move_note(database: Path, port: int, to: int) -> None:
    with open_store(f"sqlite:///{database}") as queue:
        note = queue.recall(f"subscriptions:one@127.0.0.1:{port}")
        assert note
        queue.remember(f"subscriptions:one@127.0.0.1:{to}", note)


class _Dropping:
    """A broker that sends at most ten at once, and drops at UNSUBSCRIBE what it has not sent, as NATS does.

    It answers pings at once, and delivers a moment later, as brokers do that have a process for each.
    """

    def __init__(self, messages: int) -> None:
        self._left = messages
        self.dropped = 0

    def __call__(self, peer: Peer) -> None:
        number = 0
        while self._left and not peer.unsubscribed.is_set():
            peer.await_acknowledged(number, 10)
            peer.unsubscribed.wait(0.02)
            count = min(10, self._left)
            if peer.unsubscribed.is_set() or peer.is_over:
                break
            packets = (
                publish_packet("jobs/x", b"%d" % (self._left - one), number + one + 1, v5=True) for one in range(count)
            )
            peer.link.sendall(b"".join(packets))
            number += count
            self._left -= count
        self.dropped = self._left
        peer.unsubscribed.wait(60)


def test_nothing_is_unsubscribed_before_everything_is_stored(fmq: Processes) -> None:
    """A broker may drop at UNSUBSCRIBE what it has buffered (MQTT 5, section 3.10.4: it MAY go on delivering)."""
    dropping = _Dropping(500)
    with Firehose(dropping, connack=b"\x20\x03\1\0\0", needs_subscription=False) as broker:
        leaving = _listen(fmq, broker, 0, "5", "--leave")
        _process(fmq, 0)
        assert leaving.wait(60) == 0
        assert dropping.dropped == 0
        assert Rows(fmq.folder / "shard-0.db").count("jobs/#") == 500
        assert broker.errors == []


def test_an_unsubscription_that_is_refused_is_in_doubt(broker: Broker, fmq: Processes) -> None:
    """Exit 1, with the session kept: what comes for it is there for the next listener (MQTT 5, section 3.11.3)."""
    assert _subscribed(_listen(fmq, broker, 0, "5")).terminate() == 0

    def refuse(packet: Packet) -> bytes:
        return packet.raw[:-1] + b"\x87" if packet.kind == UNSUBACK else packet.raw

    with Proxy(broker.port, refuse) as proxy:
        leaving = _listen(fmq, proxy, 0, "5", "--leave")
        assert leaving.wait() == 1
        assert leaving.said("Leaving failed: the broker did not confirm that it removed the subscriptions")
        assert "Traceback" not in leaving.text
    assert _subscribed(_listen(fmq, broker, 0, "5")).said("session: present")


def test_a_message_that_is_too_large_is_not_left_behind(broker: Broker, fmq: Processes) -> None:
    """It was passed over, so the session holds it: exit 1. Taken with a higher limit, it is stored, and leaving exits 0.

    With MQTT 3.1.1 nobody has said to the broker what is too large.
    """
    limit = {
        "FMQ_BROKER_URL": broker.url,
        "FMQ_MQTT_VERSION": "3.1.1",
        "FMQ_MAX_PACKET_BYTES": 200_000,
        "FMQ_LEAVE_SECONDS": 1,
    }
    assert _subscribed(fmq.start("listen", "a", **limit)).terminate() == 0
    publish(broker.port, [("a", bytes(300_000)), ("a", b"small")])
    fmq.start("process", FMQ_RETENTION_SECONDS="forever")
    leaving = fmq.start("listen", "a", "--leave", **limit)
    assert leaving.wait() == 1
    assert leaving.said("Leaving failed: the broker holds messages larger than FMQ_MAX_PACKET_BYTES (1)")
    assert fmq.start("listen", "a", "--leave", **limit | {"FMQ_MAX_PACKET_BYTES": 400_000}).wait() == 0
    assert sorted(map(len, Rows(fmq.folder / "mqtt_queue.db").payloads("a"))) == [5, 300_000]


def test_what_was_published_until_unsubscribe_may_come_late(fmq: Processes) -> None:
    """A broker that delivers apart from its answers, a moment late, gets its last PUBACK before the session ends."""
    came: list[str] = []

    def script(connection: Connection) -> None:
        connection.accept(session_present=True)
        connection.read_until(UNSUBSCRIBE)
        late = threading.Timer(1.5, connection.send, [scripted_publish("jobs/x", b"late")])
        late.start()
        connection.answers(1)
        came.append("acknowledged")
        connection.serve()

    def end(connection: Connection) -> None:
        connection.accept()
        came.append("the session has ended")
        connection.serve()

    with ScriptedBroker(script, end) as broker:
        leaving = fmq.start(
            "listen", "jobs/#", "--leave", FMQ_BROKER_URL=broker.url, FMQ_CLIENT_ID="one", FMQ_LEAVE_SECONDS=3
        )
        _process_all(fmq)
        assert leaving.wait(60) == 0
    assert broker.errors == []
    assert came == ["acknowledged", "the session has ended"]
    assert Rows(fmq.folder / "mqtt_queue.db").payloads("jobs/#") == [b"late"]


def _subscribed(listener: FmqProcess) -> FmqProcess:
    listener.wait_to_say(_SUBSCRIBED)
    return listener
