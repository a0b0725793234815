"""What a listener stores of what a real broker sends, and that it acknowledges all of it."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from support.broker import Broker, publish
from support.processes import FmqProcess, Processes
from support.rows import Rows
from support.wait import wait_for

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])
_SUBSCRIBED = "Connected and subscribed successfully"


def _listen(fmq: Processes, broker: Broker, *topics: str, **settings: object) -> FmqProcess:
    listener = fmq.start("listen", *topics, FMQ_BROKER_URL=broker.url, **settings)
    listener.wait_to_say(_SUBSCRIBED)
    return listener


def _wait_for_rows(database: Path, **counts: int) -> Rows:
    rows = Rows(database)
    for queue, count in counts.items():
        wait_for(lambda queue=queue, count=count: rows.count(queue) >= count, what=f"{count} rows in {queue}")  # type: ignore[misc]
    return rows


@VERSIONS
def test_every_message_is_stored_once_and_in_order(
    broker: Broker, fmq: Processes, database: Path, version: str
) -> None:
    """1,000 messages, each one row, in the order of publication, with QoS 1."""
    listener = _listen(fmq, broker, "dstdb", FMQ_MQTT_VERSION=version)
    sent = [b"%d" % number for number in range(1_000)]
    publish(broker.port, (("dstdb", payload) for payload in sent))
    rows = _wait_for_rows(database, dstdb=1_000)
    assert rows.payloads("dstdb") == sent
    assert {row.qos for row in rows.all("dstdb")} == {1}
    assert listener.terminate() == 0
    assert [line["message"] for line in listener.log][-3:] == [
        "Received signal 15, shutting down gracefully...",
        listener.said("Stored ")[-1]["message"],
        "Disconnected from MQTT broker",
    ]
    assert listener.said("Starting listener for topic: dstdb")


def test_a_burst_larger_than_the_batch_is_stored_at_once(broker: Broker, fmq: Processes, database: Path) -> None:
    """What one read brought and one batch could not take is looked at next, and does not wait for more to arrive."""
    listener = _listen(fmq, broker, "dstdb", FMQ_INFLIGHT=5)
    listener.stop_for_a_while()
    publish(broker.port, [("dstdb", b"%d" % number) for number in range(500)], qos=0)
    listener.go_on()
    rows = Rows(database)
    wait_for(lambda: rows.count("dstdb") == 500, 15, what="500 rows in a hundred commits")
    assert rows.payloads("dstdb") == [b"%d" % number for number in range(500)]


@VERSIONS
def test_each_filter_fills_its_own_queue(broker: Broker, fmq: Processes, database: Path, version: str) -> None:
    """Plain filters, +, # and a shared subscription, in one process."""
    _listen(fmq, broker, "dstdb", "sensors/+/temp", "alerts/#", "$share/g/jobs/+", FMQ_MQTT_VERSION=version)
    topics = ["dstdb", "sensors/a/temp", "sensors/b/temp", "alerts", "alerts/x/y", "jobs/1", "other"]
    publish(broker.port, ((topic, topic.encode()) for topic in topics))
    rows = _wait_for_rows(database, **{"dstdb": 1, "sensors/+/temp": 2, "alerts/#": 2, "jobs/+": 1})
    assert rows.payloads("dstdb") == [b"dstdb"]
    assert [row.topic for row in rows.all("sensors/+/temp")] == ["sensors/a/temp", "sensors/b/temp"]
    assert [row.topic for row in rows.all("alerts/#")] == ["alerts", "alerts/x/y"]
    assert rows.payloads("jobs/+") == [b"jobs/1"]


def test_overlapping_filters_get_one_copy_each(broker: Broker, fmq: Processes, database: Path) -> None:
    """With MQTT 5 the subscription identifier tells which filter a copy is for."""
    _listen(fmq, broker, "a/#", "a/+")
    publish(broker.port, [("a/b", b"both"), ("a/b/c", b"one"), ("a/b", b"last")])
    rows = _wait_for_rows(database, **{"a/#": 3, "a/+": 2})
    assert rows.payloads("a/#") == [b"both", b"one", b"last"]
    assert rows.payloads("a/+") == [b"both", b"last"]


def test_overlapping_filters_are_warned_about_with_the_older_version(
    broker: Broker, fmq: Processes, database: Path
) -> None:
    """MQTT 3.1.1 has no identifiers: a message goes into every matching queue, and the log says so once."""
    listener = _listen(fmq, broker, "a/#", "a/+", FMQ_MQTT_VERSION="3.1.1")
    publish(broker.port, [("a/b", b"both")])
    rows = _wait_for_rows(database, **{"a/#": 1, "a/+": 1})
    assert set(rows.payloads("a/#") + rows.payloads("a/+")) == {b"both"}
    assert len(listener.said("overlap")) == 1


def test_qos_0_and_2_are_stored_too(broker: Broker, fmq: Processes, database: Path) -> None:
    """QoS 0 comes as it is and needs no acknowledgement; QoS 2 is handed over at QoS 1."""
    _listen(fmq, broker, "q")
    publish(broker.port, [("q", b"zero")], qos=0)
    publish(broker.port, [("q", b"two")], qos=2)
    rows = _wait_for_rows(database, q=2)
    assert [(row.payload, row.qos) for row in rows.all("q")] == [(b"zero", 0), (b"two", 1)]


def test_properties_are_kept(broker: Broker, fmq: Processes, database: Path) -> None:
    """Content type, correlation data, response topic, format, expiry and user properties, in order."""
    _listen(fmq, broker, "p")
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType = "application/json"
    properties.ResponseTopic = "answers/ü"
    properties.CorrelationData = b"\x00\xff"
    properties.PayloadFormatIndicator = 1
    properties.MessageExpiryInterval = 3600
    properties.UserProperty = [("k", "1"), ("k", "2"), ("", "")]
    publish(broker.port, [("p", b"{}")], properties=properties)
    rows = _wait_for_rows(database, p=1)
    kept = json.loads(rows.all("p")[0].properties or "")
    assert kept.pop("message_expiry_interval") in range(3590, 3601)
    assert kept == {
        "content_type": "application/json",
        "response_topic": "answers/ü",
        "correlation_data": "AP8=",
        "payload_format_indicator": 1,
        "user_properties": [["k", "1"], ["k", "2"], ["", ""]],
    }


def test_any_payload_is_stored_byte_for_byte(broker: Broker, fmq: Processes, database: Path) -> None:
    """Empty, binary, invalid UTF-8, 10 MiB."""
    _listen(fmq, broker, "bytes")
    sent = [b"", bytes(range(256)), b"\xff\xfe broken", bytes(10 * 1024 * 1024), b"after"]
    publish(broker.port, (("bytes", payload) for payload in sent))
    assert _wait_for_rows(database, bytes=5).payloads("bytes") == sent


def test_any_topic_is_stored(broker: Broker, fmq: Processes, database: Path) -> None:
    """Spaces, Unicode, quotes, SQL, the longest topic there is, and no level at all."""
    topics = ["t/a b", "t/Ünï 日本 🙂", "t/'\"; DROP TABLE msg_t --", "t/" + "x" * 65_533, "t//", "t"]
    _listen(fmq, broker, "t/#")
    publish(broker.port, ((topic, b"") for topic in topics))
    rows = _wait_for_rows(database, **{"t/#": len(topics)})
    assert [row.topic for row in rows.all("t/#")] == topics


def test_filters_of_any_kind_have_queues(broker: Broker, fmq: Processes, database: Path) -> None:
    """Names that need quoting, that collide as tables, and one of 65,535 bytes."""
    filters = ["a/b", "a_b", "A/B", 'it\'s "quoted"', "日本/🙂", "long/" + "y" * 65_530]
    _listen(fmq, broker, *filters)
    publish(broker.port, ((topic, topic.encode()) for topic in filters))
    rows = _wait_for_rows(database, **dict.fromkeys(filters, 1))
    assert all(rows.payloads(topic) == [topic.encode()] for topic in filters)


def test_a_retained_message_comes_once_and_not_at_each_reconnect(
    broker: Broker, fmq: Processes, database: Path
) -> None:
    """It is stored with its flag at the first subscription, and not again while the session lasts."""
    publish(broker.port, [("r", b"kept")], retain=True)
    listener = _listen(fmq, broker, "r")
    rows = _wait_for_rows(database, r=1)
    assert [(row.payload, row.retain) for row in rows.all("r")] == [(b"kept", 1)]
    assert listener.terminate() == 0
    _listen(fmq, broker, "r")
    publish(broker.port, [("r", b"new")])
    rows = _wait_for_rows(database, r=2)
    assert [(row.payload, row.retain) for row in rows.all("r")] == [(b"kept", 1), (b"new", 0)]


def test_what_came_while_the_listener_was_away_is_stored(broker: Broker, fmq: Processes, database: Path) -> None:
    """The session outlives the listener, and the broker too."""
    assert _listen(fmq, broker, "s").terminate() == 0
    publish(broker.port, (("s", b"%d" % number) for number in range(500)))
    broker.stop()
    broker.start()
    _listen(fmq, broker, "s")
    assert _wait_for_rows(database, s=500).payloads("s") == [b"%d" % number for number in range(500)]


def test_a_batch_is_bounded_by_messages_and_by_bytes(broker: Broker, fmq: Processes, database: Path) -> None:
    """With tiny limits everything still comes, in order: a message beyond the limit alone."""
    assert _listen(fmq, broker, "s", FMQ_INFLIGHT=3, FMQ_INFLIGHT_BYTES=1000).terminate() == 0
    sent = [b"x" * size for size in (1, 400, 700, 5000, 1, 1, 1, 1, 1, 1)] * 10
    publish(broker.port, (("s", payload) for payload in sent))
    listener = _listen(fmq, broker, "s", FMQ_INFLIGHT=3, FMQ_INFLIGHT_BYTES=1000)
    assert _wait_for_rows(database, s=len(sent)).payloads("s") == sent
    assert listener.terminate() == 0


def test_debug_shows_packets_and_no_payload(broker: Broker, fmq: Processes, database: Path) -> None:
    """At DEBUG paho's own log goes through; payloads and passwords never do."""
    url = broker.url.replace("//", "//user:hunter2@")
    listener = fmq.start("listen", "d", FMQ_BROKER_URL=url, FMQ_LOG_LEVEL="DEBUG")
    listener.wait_to_say(_SUBSCRIBED)
    publish(broker.port, [("d", b"the payload")])
    _wait_for_rows(database, d=1)
    listener.wait_to_say("Sending PUBACK")
    assert listener.said("Sending CONNECT")
    assert listener.said("Received PUBLISH")
    assert "the payload" not in listener.text
    assert "hunter2" not in listener.text


@pytest.mark.parametrize("command", [("listen",), ("listen", "a/#/b", "--inflight", "0")])
def test_wrong_settings_end_with_code_2_and_a_reason(fmq: Processes, command: tuple[str, ...]) -> None:
    """One message, no traceback."""
    listener = fmq.start(*command)
    assert listener.wait() == 2
    assert "Invalid settings" in listener.text
    assert "Traceback" not in listener.text


@pytest.mark.parametrize("command", [["fmq", "listen"], ["fmq-listen"], ["python", "-m", "fmq_listener"]])
def test_the_listener_has_three_names(command: list[str]) -> None:
    """The sub-command, the program of the guide's kind, and the module tell the same."""
    program, *rest = command
    shown = subprocess.run(
        [Path(sys.executable).with_name(program), *rest, "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert "[OPTIONS] TOPIC…" in shown.stdout
    assert "FMQ_BROKER_URL" in shown.stdout
    assert "--broker-password" not in shown.stdout  # secrets have no flag: all users of the machine can read flags


def test_a_database_of_something_else_ends_with_code_3(fmq: Processes, database: Path) -> None:
    """It is left untouched, and the message is one line."""
    other = apsw.Connection(str(database))
    other.execute("CREATE TABLE mine (x)")
    other.close()
    before = database.read_bytes()
    listener = fmq.start("listen", "a")
    assert listener.wait() == 3
    assert "Traceback" not in listener.text
    assert database.read_bytes() == before


def test_a_port_that_is_taken_ends_with_code_1_and_names_its_setting(fmq: Processes) -> None:
    """The setting is valid, and the port may be free at the next start; so a supervisor should try again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listener = fmq.start("listen", "a", FMQ_HTTP_PORT=taken.getsockname()[1])
        assert listener.wait() == 1
    assert "FMQ_HTTP_PORT" in listener.text
    assert "Traceback" not in listener.text
