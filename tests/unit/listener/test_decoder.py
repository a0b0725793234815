"""The decoder against paho's own reader: the same bytes give the same messages, errors and leftovers."""

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from fmq.message import Properties
from fmq_listener.batch import Batch
from fmq_listener.decoder import Decoder, Malformed
from fmq_listener.filters import Router

Found = tuple[str, bytes, int, bool, int, bool, Properties | None]


@dataclass
class Outcome:
    """What a reader made of a stream."""

    messages: list[Found] = field(default_factory=list)
    others: list[tuple[int, bytes]] = field(default_factory=list)
    malformed: bool = False


class OneQueue(Router):
    """Takes everything into one queue."""

    def __init__(self) -> None:
        super().__init__((), (), {})

    def by_identifiers(self, numbers: Sequence[int], topic: str) -> tuple[str, ...]:  # noqa: ARG002 - any will do
        return ("q",)

    def _by_topic(self, topic: str) -> tuple[str, ...]:  # noqa: ARG002 - any will do
        return ("q",)


class PahoReader(Client):
    """paho as it is, but for packets other than PUBLISH, which are only noted."""

    def __init__(self, sock: socket.socket, *, v5: bool) -> None:
        protocol = MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311
        super().__init__(CallbackAPIVersion.VERSION2, client_id="x", protocol=protocol, manual_ack=True)
        self.outcome = Outcome()
        self._sock = sock
        self.on_message = self._note

    def _note(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        topic = message._topic.decode(errors="backslashreplace")
        payload, dup = bytes(message.payload), message.qos > 0 and bool(message.dup)
        properties = kept(message.properties)
        self.outcome.messages.append((topic, payload, message.qos, message.retain, message.mid, dup, properties))

    def _packet_handle(self) -> MQTTErrorCode:
        command = self._in_packet["command"]
        if command < 0x10 or (command & 0xF0 == 0x30 and command & 0x06 < 4):
            return super()._packet_handle()
        self.outcome.others.append((command, bytes(self._in_packet["packet"])))
        return MQTTErrorCode.MQTT_ERR_SUCCESS


def kept(found: PahoProperties | None) -> Properties | None:
    fields = {} if found is None else vars(found)
    properties = Properties(
        fields.get("PayloadFormatIndicator"),
        fields.get("MessageExpiryInterval"),
        fields.get("ContentType"),
        fields.get("ResponseTopic"),
        fields.get("CorrelationData"),
        tuple(fields.get("UserProperty", ())),
    )
    return None if properties == Properties() else properties


def by_paho(chunks: list[bytes], *, v5: bool) -> Outcome:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        client = PahoReader(ours, v5=v5)
        for chunk in chunks:
            theirs.sendall(chunk)
            while (rc := client._packet_read()) == MQTTErrorCode.MQTT_ERR_SUCCESS:
                pass
            if rc != MQTTErrorCode.MQTT_ERR_AGAIN:
                client.outcome.malformed = True
                break
        client._sock = None
    return client.outcome


def by_decoder(chunks: list[bytes], *, v5: bool, most_messages: int, most_bytes: int) -> Outcome:
    outcome = Outcome()

    def other(first: int, body: bytes) -> bool:
        outcome.others.append((first, body))
        return True

    decoder = Decoder(v5=v5, other=other, marking=True)
    decoder.route(OneQueue())
    try:
        for chunk in chunks:
            decoder.feed(chunk)
            while decoder.ready:
                batch = Batch(1)
                try:
                    decoder.decode(batch, now=1.0, most_messages=most_messages, most_bytes=most_bytes)
                finally:
                    assert batch.packets <= most_messages
                    collect(batch, outcome)
    except Malformed:
        outcome.malformed = True
    return outcome


def collect(batch: Batch, outcome: Outcome) -> None:
    assert [packet_id for packet_id, _, _, _ in batch.marks] == batch.packet_ids
    assert all(batch.messages[at].qos and count == 1 for _, _, at, count in batch.marks)
    marks = iter(batch.marks)
    for one in batch.messages:
        mid, dup, _, _ = next(marks) if one.qos else (0, False, 0, 0)
        outcome.messages.append((one.topic, one.payload, one.qos, one.retain, mid, dup, one.properties))
    assert not batch.unroutable
    assert next(marks, None) is None


def length(number: int) -> bytes:
    encoded = bytearray()
    while True:
        number, digit = divmod(number, 128)
        encoded.append(digit | (128 if number else 0))
        if not number:
            return bytes(encoded)


def text(max_size: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\ufeff"), max_size=max_size)


@st.composite
def property_sections(draw: st.DrawFn) -> bytes:
    properties = PahoProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    for name, values in (
        ("PayloadFormatIndicator", st.integers(0, 1)),
        ("MessageExpiryInterval", st.integers(0, 2**32 - 1)),
        ("ContentType", text(20)),
        ("ResponseTopic", text(20)),
        ("CorrelationData", st.binary(max_size=200)),
        ("SubscriptionIdentifier", st.just(1)),
        ("UserProperty", st.tuples(text(9), text(200))),
    ):
        for _ in range(draw(st.integers(0, 2 if name == "UserProperty" else 1))):
            setattr(properties, name, draw(values))
    return bytes(properties.pack())  # type: ignore[no-untyped-call]


@st.composite
def packets(draw: st.DrawFn, *, v5: bool) -> bytes:
    kind = draw(st.sampled_from(["publish"] * 6 + ["other", "qos2", "noise"]))
    if kind == "noise":
        return draw(st.binary(min_size=1, max_size=12))
    if kind == "other":
        first = draw(st.sampled_from([0x20, 0x40, 0x90, 0xB0, 0xD0, 0xE0, 0xF0]))
        body = draw(st.binary(max_size=150))
        return bytes([first]) + length(len(body)) + body
    qos = 2 if kind == "qos2" else draw(st.integers(0, 1))
    first = 0x30 | draw(st.sampled_from([0, 8])) | qos << 1 | draw(st.integers(0, 1))
    topic = draw(
        st.one_of(
            st.sampled_from([b"a/b", b"$SYS/x", "ü/ß".encode(), b"\xff\xfe", b"t" * 600]),
            st.binary(min_size=1, max_size=9),
        )
    )
    body = len(topic).to_bytes(2, "big") + topic
    if qos:
        body += draw(st.integers(0, 3) | st.integers(1, 65_535)).to_bytes(2, "big")
    if v5:
        body += draw(st.one_of(st.just(b"\0"), st.just(b"\x02\x0b\x01"), property_sections()))
    body += draw(st.one_of(st.binary(max_size=30), st.just(b"x" * 2_000)))
    declared = len(body)
    if draw(st.integers(0, 9)) == 0:  # cut short, or with bytes behind it that are the next packet's
        declared = draw(st.integers(0, declared))
    return bytes([first]) + length(declared) + body


@st.composite
def alike(draw: st.DrawFn, earlier: list[bytes]) -> bytes:
    """One that came before, again or with one byte that is another."""
    packet = bytearray(draw(st.sampled_from(earlier)))
    if draw(st.booleans()):
        packet[draw(st.integers(0, min(len(packet), 40) - 1))] = draw(st.integers(0, 255))
    return bytes(packet)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bool, list[bytes]]:
    v5 = draw(st.booleans())
    several = draw(st.lists(packets(v5=v5), max_size=12))
    if several:
        several += draw(st.lists(alike(several), max_size=12))
    stream = b"".join(several)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    edges = [0, *cuts, len(stream)]
    return v5, [stream[a:b] for a, b in pairwise(edges) if a < b]


def paho_lets_pass(stream: bytes, *, v5: bool) -> bool:
    """Whether there is something in the stream that is malformed, and that paho's reader takes all the same."""
    rest = stream
    while rest:
        if rest[0] < 0x10:
            return True
        body_length, at = variable_length(rest, 1)
        if at == 0 or len(rest) < at + body_length:
            return False
        first, body, rest = rest[0], rest[at : at + body_length], rest[at + body_length :]
        if first & 0xF4 != 0x30:
            continue
        body = body[2 + int.from_bytes(body[:2], "big") :]
        if first & 0x02:
            if body[:2] == b"\0\0":
                return True
            body = body[2:]
        if v5 and not is_section(body):
            return True
    return False


def is_section(body: bytes) -> bool:
    """Whether this begins with properties that end where their length says."""
    section_length, at = variable_length(body, 0)
    if at == 0 or at + section_length > len(body):
        return False
    try:
        PahoProperties(PacketTypes.PUBLISH).unpack(body[: at + section_length])  # type: ignore[no-untyped-call]
    except (IndexError, ValueError, struct.error, MQTTException):
        return False
    return True


def variable_length(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where it ends; (0, 0) if that is not there or there is no such number."""
    number = 0
    for place in range(4):
        if at + place >= len(data):
            break
        number |= (data[at + place] & 127) << 7 * place
        if data[at + place] < 128:
            return number, at + place + 1
    return 0, 0


@settings(max_examples=500, deadline=None)
@example((False, [b"\0", b"0\x05\0\x03a/b"]), 1, 1)
@given(streams(), st.integers(1, 5), st.sampled_from([1, 500, 10**9]))
def test_the_same_as_paho(stream: tuple[bool, list[bytes]], most_messages: int, most_bytes: int) -> None:
    """Any mix of packets, flags and properties, split anywhere and malformed too, is read as paho reads it.

    Three things are stricter here: a property that reaches past the end of its section, into the payload, is malformed,
    and so are a packet identifier of 0 and a packet of type 0, for which paho's reader waits if its first byte comes alone.
    """
    v5, chunks = stream
    theirs = by_paho(chunks, v5=v5)
    ours = by_decoder(chunks, v5=v5, most_messages=most_messages, most_bytes=most_bytes)
    if ours.malformed:
        # Where ours is the stricter one, paho reads on: what came before is the same.
        assert theirs.messages[: len(ours.messages)] == ours.messages
        assert theirs.others[: len(ours.others)] == ours.others
        assert theirs.malformed or paho_lets_pass(b"".join(chunks), v5=v5)
    else:
        assert ours == theirs


@pytest.mark.parametrize("v5", [False, True])
def test_a_packet_identifier_of_zero_is_malformed(*, v5: bool) -> None:
    """No PUBACK with such an identifier may go out (MQTT 5, section 2.2.1); what came before is kept."""
    good, bad = (b"\x32\x06\x00\x01t\x00" + bytes([number]) + b"\0" for number in (7, 0))
    outcome = by_decoder([good + bad + good], v5=v5, most_messages=10, most_bytes=10**9)
    assert [one[4] for one in outcome.messages] == [7]
    assert outcome.malformed


@pytest.mark.parametrize("v5", [False, True])
def test_a_large_packet_in_many_reads(*, v5: bool) -> None:
    """A packet of 3 MB that comes in small pieces is put together once, with what stands before and behind it."""
    small = b"\x32\x08\x00\x01t\x00\x07" + (b"\0" if v5 else b"p") + b"ab"
    body = b"\x00\x01t\x00\x08" + (b"\0" if v5 else b"") + b"x" * 3_000_000
    stream = small + b"\x32" + length(len(body)) + body + small
    chunks = [stream[at : at + 1_460] for at in range(0, len(stream), 1_460)]
    outcome = by_decoder(chunks, v5=v5, most_messages=10, most_bytes=10**9)
    assert [len(one[1]) for one in outcome.messages] == [2 + (not v5), 3_000_000, 2 + (not v5)]


def test_large_packets_that_begin_alike() -> None:
    """Two of the same size, in which the length of the topic comes too late to be among the bytes that are looked up."""
    stream = b""
    for topic in (b"a", b"ab"):
        body = len(topic).to_bytes(2, "big") + topic + b"\x01\x02" + b"x" * (20_000 - len(topic))
        stream += b"\x32" + length(len(body)) + body
    outcome = by_decoder([stream], v5=False, most_messages=10, most_bytes=10**9)
    assert [(one[0], len(one[1]), one[4]) for one in outcome.messages] == [("a", 19_999, 0x102), ("ab", 19_998, 0x102)]


def test_a_new_connection_forgets_the_old_one() -> None:
    """The beginning of a packet that the last connection left is not put before the first of the next."""
    decoder = Decoder(v5=False, other=lambda _first, _body: True)
    decoder.route(Router(["#"], [], {"#": 1}))
    decoder.feed(b"\x30\x7f\x00\x01t")
    decoder.decode(Batch(1), now=0, most_messages=9, most_bytes=999)
    decoder.start()
    decoder.feed(b"\x30\x04\x00\x01tx")
    batch = Batch(2)
    decoder.decode(batch, now=0, most_messages=9, most_bytes=999)
    assert [one.payload for one in batch.messages] == [b"x"]
