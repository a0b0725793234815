"""Leaving a broker before scaling in: nothing is stranded at the broker, nothing is lost, and nothing is left behind."""

import threading
from pathlib import Path

import pytest

from support.broker import Broker, publish
from support.counting import counted
from support.processes import FmqProcess, Processes
from support.rows import Rows
from support.wait import wait_for

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])
_SUBSCRIBED = "Connected and subscribed successfully"
_SHARE = "$share/workers/jobs/#"


def _url(folder: Path, shard: int) -> str:
    return f"sqlite:///{folder}/shard-{shard}.db"


def _listen(fmq: Processes, broker: Broker, shard: int, version: str, *flags: str) -> FmqProcess:
    return fmq.start(
        "listen",
        *flags,
        FMQ_TOPICS=_SHARE,
        FMQ_BROKER_URL=broker.url,
        FMQ_CLIENT_ID=f"shard-{shard}",
        FMQ_MQTT_VERSION=version,
        FMQ_QUEUE_URL=_url(fmq.folder, shard),
        FMQ_RETENTION_SECONDS="forever",
    )


def _process(fmq: Processes, shard: int) -> FmqProcess:
    return fmq.start("process", FMQ_QUEUE_URL=_url(fmq.folder, shard), FMQ_BATCH=100, FMQ_LOG_LEVEL="WARNING")


@VERSIONS
def test_three_listeners_down_to_one_under_load(broker: Broker, fmq: Processes, version: str) -> None:
    """With a shared subscription, two of three listeners go while messages pour in: each one is handled exactly once."""
    listeners = [_listen(fmq, broker, shard, version) for shard in range(3)]
    for shard, listener in enumerate(listeners):
        listener.wait_to_say(_SUBSCRIBED)
        _process(fmq, shard)
    sent = [b"%d" % number for number in range(6_000)]
    publisher = threading.Thread(target=publish, args=(broker.port, [("jobs/x", payload) for payload in sent]))
    publisher.start()
    rows = {shard: Rows(fmq.folder / f"shard-{shard}.db") for shard in range(3)}
    for shard in (2, 1):
        wait_for(lambda shard=shard: rows[shard].count("jobs/#") > 0, what=f"messages at shard {shard}")  # type: ignore[misc]
        assert listeners[shard].terminate() == 0
        publish(broker.port, [("jobs/x", b"while %d was away, %d" % (shard, number)) for number in range(60)])
        leaving = _listen(fmq, broker, shard, version, "--leave")
        assert leaving.wait() == 0
        assert leaving.said("Left the broker")
        assert leaving.said("Nothing is left to be handled")
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
    first.wait_to_say("2 messages are still to be handled")
    assert first.terminate() == 1
    assert first.said("leave again")
    second = _listen(fmq, broker, 0, "5", "--leave")
    second.wait_to_say("2 messages are still to be handled")
    _process(fmq, 0)
    assert second.wait() == 0
