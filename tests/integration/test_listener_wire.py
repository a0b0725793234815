"""What a listener makes of packets that no well-behaved broker sends: nothing is lost, and intake never stops."""

import random
from pathlib import Path

import pytest

from fmq.message import DeadLetter, Properties
from fmq.store.backends import open_store
from fmq.topics import QUARANTINE
from support.broker import Broker
from support.broker import publish as publish_all
from support.processes import Processes
from support.rows import Rows
from support.scripted_broker import (
    DISCONNECT,
    PUBACK,
    PUBLISH,
    PUBREC,
    SUBACK,
    Connection,
    ScriptedBroker,
    length,
    listen,
    none,
    packet,
    publish,
    send_raw,
    text,
    user_property,
)
from support.specification import read_stream
from support.wait import wait_for

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


def dead_letters(database: Path) -> list[DeadLetter]:
    with open_store(f"sqlite:///{database}") as queue:
        return list(queue.dead_letters(QUARANTINE)) if QUARANTINE in queue.names() else []


class TestHostileProperties:
    def test_a_byte_order_mark_and_the_like(self, fmq: Processes, database: Path) -> None:
        """U+FEFF, U+0000, non-characters, surrogates and empty ones are handed to the handler as they came, in order."""
        pairs = [
            ("\ufeffname", "\ufeffMüller"),
            ("a\0b", "\0"),
            ("\uffff", "\U0010fffe"),
            ("", ""),
            ("\ud800", "x"),
            ("", "2"),
        ]
        inside = b"".join(user_property(*pair) for pair in pairs)
        answers: list[tuple[int, int]] = []

        def script(connection: Connection) -> None:
            connection.accept()
            connection.send(publish("t/x", b"{}", packet_id=5, properties=inside))
            answers.extend(connection.answers(1))
            connection.serve()

        with ScriptedBroker(script) as broker:
            listener = listen(fmq, broker, "t/#")
            wait_for(lambda: answers, what="the PUBACK")
            assert broker.connections == 1
            assert listener.terminate() == 0
        with open_store(f"sqlite:///{database}") as queue:
            (claim,) = queue.claim("t/#", 9, lease=60)
        assert claim.message.properties.user_properties == tuple(pairs)

    def test_what_can_not_be_parsed_is_quarantined(self, fmq: Processes, database: Path) -> None:
        """It is acknowledged, kept raw with its reason, counted and logged, and the connection stands."""
        bad = b"\x03\x1f\0\0"  # a reason string, which no PUBLISH has
        answers: list[tuple[int, int]] = []

        def script(connection: Connection) -> None:
            connection.accept()
            connection.send(
                publish("t/x", b"payload", packet_id=5, section=bad, qos=2),
                publish("t/x", b"fine", packet_id=6),
                publish("t/x", b"none", packet_id=7, section=b"\xff\xff\xff\xff\x7f"),
            )
            answers.extend(connection.answers(3))
            connection.serve()

        with ScriptedBroker(script) as broker:
            listener = listen(fmq, broker, "t/#", "u")
            wait_for(lambda: answers, what="the answers")
            assert answers == [(PUBREC, 5), (PUBACK, 6), (PUBACK, 7)]
            assert "t/x: malformed properties: property 31" in listener.wait_to_say("as dead letters (2)")[0]["message"]
            assert "fmq_quarantined_total 2.0" in listener.get("metrics")
            assert "fmq_unroutable_total 0.0" in listener.get("metrics")
            assert broker.connections == 1
            assert listener.terminate() == 0
        first, second = dead_letters(database)
        assert (first.message.topic, first.message.payload, first.message.qos) == ("t/x", b"payload", 2)
        assert first.message.properties == Properties(raw=bad)
        assert "property 31" in first.reason
        assert second.message.payload == b""
        assert Rows(database).payloads("t/#") == [b"fine"]

    def test_what_the_broker_says_of_itself(self, fmq: Processes, database: Path) -> None:
        """Texts in CONNACK, SUBACK and DISCONNECT that only make people read them end no connection and take no time."""
        odd = b"\x1f" + text("\ufeffwelcome\0") + user_property("\ufeff", "\0") * 40_000
        stored: list[tuple[int, int]] = []

        def script(connection: Connection) -> None:
            connection.accept(properties=odd + b"\x27\xff\xff\xff\xff" + b"\x21\0\x14")
            number = connection.read()[1][:2]
            connection.send(packet(SUBACK, number + length(len(odd)) + odd + b"\x01"))
            connection.send(publish("t", b"1", packet_id=1))
            stored.extend(connection.answers(1))
            if len(stored) == 1:
                connection.send(packet(DISCONNECT, b"\x8b" + length(len(odd)) + odd))
            connection.serve()

        with ScriptedBroker(script) as broker:
            listener = listen(fmq, broker, "t")
            wait_for(lambda: len(stored) == 2, what="messages of two connections")
            assert listener.said("the broker closed the connection: Server shutting down")
            assert not listener.said("malformed")
            assert Rows(database).count("t") == 2


class TestNoQueue:
    """What a broker delivers that matches no topic filter."""

    TOPICS = ("$queue/t/x", "$exclusive/t/x", "rewritten/x", "made/by/somebody/else")

    @pytest.mark.parametrize(
        ("version", "filters"), [("5", ("t/#",)), ("3.1.1", ("t/#", "u/#")), ("5", ("t/#", "u/#"))]
    )
    def test_it_is_stored(self, fmq: Processes, database: Path, version: str, filters: tuple[str, ...]) -> None:
        """Topics of $queue and $exclusive, rewritten ones, and those that others had subscribed to with this session.

        In the queue of the only filter, else as dead letters in the quarantine.
        """
        answers: list[tuple[int, int]] = []

        def script(connection: Connection) -> None:
            connection.accept(session_present=True)
            for number, topic in enumerate(self.TOPICS, 1):
                connection.send(publish(topic, topic.encode(), packet_id=number, properties=none(version)))
            answers.extend(connection.answers(len(self.TOPICS)))
            connection.serve()

        wanted = [topic.encode() for topic in self.TOPICS]
        with ScriptedBroker(script) as broker:
            listener = listen(fmq, broker, *filters, FMQ_MQTT_VERSION=version)
            wait_for(lambda: answers, what="the PUBACKs")
            assert answers == [(PUBACK, number) for number in range(1, 5)]
            metrics = listener.get("metrics")
            assert "fmq_unroutable_total 4.0" in metrics
            listener.wait_to_say("match no topic filter")
            if len(filters) == 1:
                assert Rows(database).payloads("t/#") == wanted
                assert "fmq_quarantined_total 0.0" in metrics
            else:
                assert "fmq_quarantined_total 4.0" in metrics
                letters = dead_letters(database)
                assert [letter.message.payload for letter in letters] == wanted
                assert {letter.reason for letter in letters} == {"it matches no topic filter of this listener"}

    def test_operators_see_it_and_handle_it(self, fmq: Processes, database: Path) -> None:
        """``fmq status`` and ``fmq dead`` show it; no processor serves it before somebody names it."""

        def script(connection: Connection) -> None:
            connection.accept()
            connection.send(publish("x", b"lost?", packet_id=1), publish("a", b"first", packet_id=2))
            connection.serve()

        with ScriptedBroker(script) as broker:
            listener = listen(fmq, broker, "a", "b")
            wait_for(lambda: dead_letters(database), what="the dead letter")
            assert listener.terminate() == 0
        status = fmq.start("status", "--json")
        assert status.wait() == 0
        assert QUARANTINE in status.text
        requeue = fmq.start("dead", "requeue", QUARANTINE, "--all")
        assert requeue.wait() == 0, requeue.text
        served = fmq.start("process", FMQ_HANDLER="log")
        served.wait_to_say("first")
        assert not served.said("lost?")
        assert served.terminate() == 0
        named = fmq.start("process", QUARANTINE, FMQ_HANDLER="log")
        named.wait_to_say("lost?")
        assert named.terminate() == 0

    @pytest.mark.parametrize("topic", [QUARANTINE, f"$share/g/{QUARANTINE}"])
    def test_no_filter_has_its_name(self, fmq: Processes, topic: str) -> None:
        """Its name is taken, which the listener says at its start."""
        listener = fmq.start("listen", topic)
        assert listener.wait() == 2
        assert "choose another one" in listener.text


class TestLargePackets:
    LIMIT = 200_000

    @pytest.mark.parametrize(("version", "qos"), [("5", 0), ("3.1.1", 1), ("5", 2)])
    def test_one_beyond_the_limit(self, fmq: Processes, database: Path, version: str, qos: int) -> None:
        """It is neither held nor acknowledged, counted and logged with its topic, and intake goes on around it."""
        answers: list[tuple[int, int]] = []
        connects: list[bytes] = []

        def script(connection: Connection) -> None:
            connection.accept(session_present=True)
            connects.append(connection.connect)
            properties = none(version)
            connection.send(
                publish("t/before", b"1", packet_id=1, properties=properties),
                publish("t/huge", bytes(3_000_000), packet_id=2, qos=qos, properties=properties),
                publish("t/behind", b"3", packet_id=3, properties=properties),
            )
            answers.extend(connection.answers(2))
            connection.serve()

        with ScriptedBroker(script) as broker:
            listener = listen(fmq, broker, "t/#", FMQ_MQTT_VERSION=version, FMQ_MAX_PACKET_BYTES=self.LIMIT)
            wait_for(lambda: answers, what="the PUBACKs")
            (line,) = listener.wait_to_say("DISCARDED messages of QoS 0" if qos == 0 else "Passed over messages")
            assert line["level"] == "ERROR"
            assert "t/huge (3000" in line["message"]
            assert f"FMQ_MAX_PACKET_BYTES={self.LIMIT}" in line["message"]
            assert "fmq_oversized_packets_total 1.0" in listener.get("metrics")
        assert answers == [(PUBACK, 1), (PUBACK, 3)]
        assert Rows(database).payloads("t/#") == [b"1", b"3"]
        # Maximum Packet Size (3.1.2.11.4) is said where the version has it.
        assert (b"\x27" + self.LIMIT.to_bytes(4, "big") in connects[0]) == (version == "5")

    def test_a_broker_keeps_it_until_the_limit_is_raised(self, broker: Broker, fmq: Processes, database: Path) -> None:
        """With 3.1.1 a real broker delivers it on each connection; nothing is lost, and the rest goes on meanwhile."""
        settings = {"FMQ_BROKER_URL": broker.url, "FMQ_CLIENT_ID": "L", "FMQ_MQTT_VERSION": "3.1.1"}
        listener = fmq.start("listen", "t", FMQ_MAX_PACKET_BYTES=self.LIMIT, **settings)
        listener.wait_to_say("Connected and subscribed")
        publish_all(broker.port, [("t", b"1"), ("t", bytes(3_000_000)), ("t", b"3")])
        listener.wait_to_say("Passed over messages")
        rows = Rows(database)
        wait_for(lambda: rows.count("t") == 2, what="the others")
        assert listener.terminate() == 0
        fmq.start("listen", "t", **settings)
        wait_for(lambda: rows.count("t") == 3, what="the large one")
        assert rows.holds("t", bytes(3_000_000))

    @pytest.mark.parametrize(
        ("offered", "warns"), [(b"", True), (b"\x27\0\x03\x0d\x41", True), (b"\x27\0\x03\0\0", False)]
    )
    def test_a_broker_that_takes_larger_messages(self, fmq: Processes, offered: bytes, *, warns: bool) -> None:
        """It discards what is larger for this listener, without an error: said once, at the first connection."""

        def script(connection: Connection) -> None:
            connection.accept(properties=offered)
            connection.send(publish("t", b"1", packet_id=1))
            connection.answers(1)

        with ScriptedBroker(script) as broker:
            listener = listen(fmq, broker, "t", FMQ_MAX_PACKET_BYTES=self.LIMIT)
            listener.wait_to_say("Connected to", times=3)
            assert len(listener.said("never reach this listener")) == warns


@VERSIONS
def test_random_bytes_in_whole_frames(fmq: Processes, database: Path, version: str) -> None:
    """Whatever stands in a PUBLISH whose frame is whole: stored and acknowledged as the specification says, in order."""
    rng = random.Random(20)
    stream = b""
    wanted: list[tuple[int, int]] = []
    for number in range(1, 4_001):
        qos = rng.choice([0, 1, 1, 1, 2]) if number < 4_000 else 1  # what is answered last has all others behind it
        inside = rng.randbytes(rng.choice([0, 1, 5, 40, 300]))
        if rng.random() < 0.3:
            inside = (
                bytes([rng.choice([0, len(inside) % 256, 1, 128, 255])])
                + bytes([rng.choice([1, 2, 3, 8, 9, 11, 35, 38])])
                + inside
            )
        body = text(rng.choice([b"a", b"a/b", b"b", b"", b"\xff", rng.randbytes(6)]))
        if qos:
            body += number.to_bytes(2, "big")
            wanted.append((PUBACK if qos == 1 else PUBREC, number))
        stream += packet(PUBLISH | qos << 1 | rng.choice([0, 1, 8]), body + inside)
    seen: list[tuple[int, int]] = []

    def script(connection: Connection) -> None:
        connection.accept(session_present=True)
        connection.send(stream)
        seen.extend(connection.answers(len(wanted)))
        connection.serve()

    with ScriptedBroker(script) as broker:
        listener = listen(fmq, broker, "a/#", "b", FMQ_MQTT_VERSION=version)
        wait_for(lambda: seen, 30, what="all answers")
        assert listener.terminate() == 0
        assert broker.connections == 1
    assert seen == wanted
    messages = read_stream(stream, v5=version == "5").messages
    with open_store(f"sqlite:///{database}") as queue:
        stored = sum(queue.stats(name).stored for name in queue.names())
    assert stored == len(messages) == 4_000


@pytest.mark.parametrize("frame", [b"\x00\x00", b"\x32\xff\xff\xff\xff\x7f"])
def test_only_a_broken_frame_ends_a_connection(fmq: Processes, database: Path, frame: bytes) -> None:
    """Type 0, or a length of five bytes: what came before is stored."""
    seen: list[tuple[int, int]] = []

    def broken(connection: Connection) -> None:
        connection.accept()
        connection.send(publish("t", b"before", packet_id=1), frame)
        connection.serve()

    def whole(connection: Connection) -> None:
        connection.accept(session_present=True)
        connection.send(publish("t", b"after", packet_id=2))
        seen.extend(connection.answers(1))
        connection.serve()

    with ScriptedBroker(broken, whole) as broker:
        listener = listen(fmq, broker, "t")
        wait_for(lambda: seen, what="the message behind it")
        assert Rows(database).payloads("t") == [b"before", b"after"]
        assert listener.said("malformed packet")


@pytest.mark.parametrize(("megabytes", "value"), [(1, 1), (16, 77)])
def test_a_section_of_megabytes_on_a_real_broker(
    broker: Broker, fmq: Processes, database: Path, megabytes: int, value: int
) -> None:
    """It takes seconds, not minutes, and what comes behind it is stored."""
    listener = fmq.start("listen", "t/#", FMQ_BROKER_URL=broker.url)
    listener.wait_to_say("Connected and subscribed")
    count = megabytes * 1024 * 1024 // (13 + value)
    inside = b"".join(user_property(f"n{number:07d}", "v" * value) for number in range(count))
    send_raw(broker.port, publish("t/x", b"large", packet_id=1, properties=inside))
    send_raw(broker.port, publish("t/x", b"behind", packet_id=1))
    rows = Rows(database)
    wait_for(lambda: rows.holds("t/#", b"behind"), 20, what="the message behind it")
    with open_store(f"sqlite:///{database}") as queue:
        (claim, _) = queue.claim("t/#", 9, lease=60)
    assert len(claim.message.properties.user_properties) == count
