"""Duplicate suppression and delays, with a real broker. FMQ_TEST_MESSAGES: 2,000 by default; from 100,000 on, 20 kills."""

import math
import os
import random
import threading
from collections import Counter
from pathlib import Path

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fmq.store.backends import open_store
from support.broker import Broker, publish
from support.counting import query
from support.processes import FmqProcess, Processes
from support.proxy import PUBACK, Packet, Proxy
from support.rows import Rows
from support.wait import wait_for

_MESSAGES = int(os.environ.get("FMQ_TEST_MESSAGES", "2000"))
_KILLS = 20 if _MESSAGES >= 100_000 else 3
_INFLIGHT = 100


class _Swallow:
    """Lets the PUBACKs after the first ``allowed`` disappear: the broker has to deliver those messages once more.

    It decides where the PUBACKs pass, by their number: a test that asked for the rows and then said "from now on" could
    come when all were through.
    """

    def __init__(self, allowed: float = math.inf) -> None:
        self.allowed = allowed
        self.passed = 0
        self.swallowed = 0

    def __call__(self, packet: Packet) -> bytes:
        if not packet.to_broker or packet.kind != PUBACK:
            return packet.raw
        if self.passed >= self.allowed:
            self.swallowed += 1
            return b""
        self.passed += 1
        return packet.raw


def _listen(fmq: Processes, url: str, topic: str = "w", **settings: object) -> FmqProcess:
    return fmq.start(
        "listen",
        topic,
        FMQ_BROKER_URL=url,
        FMQ_CLIENT_ID="fixed",
        FMQ_INFLIGHT=_INFLIGHT,
        FMQ_RECONNECT_MAX_SECONDS=0.2,
        **settings,
    )


def _subscribed(listener: FmqProcess) -> FmqProcess:
    listener.wait_to_say("Connected and subscribed successfully")
    return listener


def _total(listener: FmqProcess, name: str) -> int:
    for line in listener.get("metrics").splitlines():
        if line.startswith((f'{name}{{queue="w"}}', f"{name} ")):
            return int(float(line.rpartition(" ")[2]))
    return 0


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(
    ("kind", "version", "identical"),
    [("session", "5", False), ("session", "5", True), ("session", "3.1.1", False), ("off", "5", False)],
)
def test_a_listener_killed_after_its_commit(
    broker: Broker, fmq: Processes, database: Path, kind: str, version: str, *, identical: bool
) -> None:
    """Kills between commit and PUBACK: with session each message has one row, also where all are identical.

    Without suppression the same run stores some twice: the control.
    """
    rng = random.Random(7)
    settings = {"FMQ_DUPLICATES": kind, "FMQ_MQTT_VERSION": version}
    sent = [b"the same" if identical else b"%d" % number for number in range(_MESSAGES)]
    goals = sorted(rng.sample(range(_MESSAGES * 8 // 10), _KILLS))
    swallow = _Swallow(goals[0])
    with Proxy(broker.port, swallow) as proxy:
        listener = _subscribed(_listen(fmq, proxy.url, **settings))
        publisher = threading.Thread(target=publish, args=(broker.port, [("w", payload) for payload in sent]))
        publisher.start()
        rows = Rows(database)
        before = 0
        for following in [*goals[1:], math.inf]:
            wait_for(lambda before=before: swallow.swallowed > before, 120, what="a lost PUBACK")  # type: ignore[misc]
            listener.kill()
            wait_for(lambda: proxy.idle, what="the end of the connection")
            before, swallow.allowed = swallow.swallowed, following
            listener = _listen(fmq, proxy.url, **settings)
        publisher.join()
        _subscribed(listener)
        wait_for(lambda: rows.count("w") >= _MESSAGES and broker_is_drained(listener), 300, what="all rows")
        assert listener.terminate() == 0
    stored = Counter(rows.payloads("w"))
    assert set(stored) == set(sent)
    assert swallow.swallowed >= _KILLS
    if kind == "off":
        assert rows.count("w") > _MESSAGES
    else:
        assert stored == Counter(sent)


def broker_is_drained(listener: FmqProcess) -> bool:
    """Whether the listener has acknowledged everything that it got."""
    page = listener.get("metrics")
    values = {line.split(" ")[0]: float(line.split(" ")[1]) for line in page.splitlines() if not line.startswith("#")}
    received = values["fmq_received_total"]
    return received > 0 and values["fmq_acknowledged_total"] == received


def test_suppressed_messages_are_counted_and_told(broker: Broker, fmq: Processes, database: Path) -> None:
    """A connection that lost its PUBACKs: each is counted as a duplicate, and the log has a line."""
    swallow = _Swallow()
    with Proxy(broker.port, swallow) as proxy:
        listener = _subscribed(_listen(fmq, proxy.url, FMQ_DUPLICATES="session"))
        swallow.allowed = 0
        publish(broker.port, [("w", b"%d" % number) for number in range(30)])
        wait_for(lambda: swallow.swallowed == 30, what="30 lost PUBACKs")
        proxy.cut()
        swallow.allowed = math.inf
        wait_for(lambda: _total(listener, "fmq_duplicate_total") == 30, what="30 duplicates")
        assert (_total(listener, "fmq_received_total"), _total(listener, "fmq_stored_total")) == (60, 30)
        assert Rows(database).count("w") == 30
        assert listener.terminate() == 0
        listener.wait_to_say("30 duplicates acknowledged")


def test_what_another_setting_left_behind_is_not_believed(broker: Broker, fmq: Processes, database: Path) -> None:
    """While suppression is off, receipts grow old: they are forgotten, and nothing is taken for a duplicate by them."""
    listener = _subscribed(_listen(fmq, broker.url, FMQ_DUPLICATES="session"))
    publish(broker.port, [("w", b"1")])
    rows = Rows(database)
    wait_for(lambda: rows.count("w") == 1)
    assert query(database, "SELECT count(*) FROM fmq_receipt") == [(1,)]
    assert listener.terminate() == 0
    listener = _subscribed(_listen(fmq, broker.url))
    assert query(database, "SELECT count(*) FROM fmq_receipt") == [(0,)]
    assert listener.terminate() == 0


def _user(**properties: str) -> Properties:
    found = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    found.UserProperty = list(properties.items())
    return found


def test_a_key_is_stored_once(broker: Broker, fmq: Processes, database: Path) -> None:
    """By user property: what a publisher sends twice is stored once, also over a restart, and counted."""
    settings = {"FMQ_DUPLICATES": "key", "FMQ_DUPLICATE_KEY": "user:id"}
    listener = _subscribed(_listen(fmq, broker.url, **settings))
    for key in ("a", "b", "a"):
        publish(broker.port, [("w", key.encode())], properties=_user(id=key))
    publish(broker.port, [("w", b"no key"), ("w", b"no key")])
    rows = Rows(database)
    wait_for(lambda: rows.count("w") == 4)
    wait_for(lambda: _total(listener, "fmq_duplicate_total") == 1, what="the duplicate to be counted")
    assert listener.terminate() == 0
    listener = _subscribed(_listen(fmq, broker.url, **settings))
    publish(broker.port, [("w", b"a")], properties=_user(id="a"))
    publish(broker.port, [("w", b"last")])
    wait_for(lambda: rows.count("w") == 5)
    assert rows.payloads("w") == [b"a", b"b", b"no key", b"no key", b"last"]
    wait_for(lambda: _total(listener, "fmq_duplicate_total") == 1, what="the duplicate to be counted")


def test_a_delay_is_heard(broker: Broker, fmq: Processes, database: Path) -> None:
    """A message with fmq-delay is pending, and lent when its time has come; one behind it is not held up."""
    _subscribed(_listen(fmq, broker.url))
    publish(broker.port, [("w", b"late")], properties=_user(**{"fmq-delay": "3600"}))
    publish(broker.port, [("w", b"soon")], properties=_user(**{"fmq-delay": "0.2"}))
    publish(broker.port, [("w", b"now")])
    with open_store(f"sqlite:///{database}") as queue:
        wait_for(lambda: queue.stats("w").stored == 3)
        assert query(database, "SELECT count(*) FROM fmq_msg_w_lent") == [(2,)]  # those with a delay stand aside
        got: list[bytes] = []

        def take() -> bool:
            got.extend(claim.message.payload for claim in queue.claim("w", 10, lease=60))
            return len(got) == 2

        wait_for(take, what="two messages")
        assert sorted(got) == [b"now", b"soon"]
        assert queue.stats("w").pending == 1
