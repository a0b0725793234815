"""The decoder against the specification: the same bytes give the same messages, errors and leftovers."""

from collections.abc import Sequence
from itertools import pairwise
from time import process_time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from fmq.message import Incoming, Properties
from fmq.topics import QUARANTINE
from fmq_listener.filters import Router
from fmq_listener.mqtt.packets.batch import Batch
from fmq_listener.mqtt.packets.decoder import RECEIVED, Decoder, Malformed
from fmq_listener.mqtt.packets.exactly_once import ExactlyOnce
from fmq_listener.mqtt.packets.properties import MOST_USER_PROPERTIES, decode_properties
from support.scripted_broker import length, publish, text, user_property
from support.specification import Outcome, Publish, read_stream


class OneQueue(Router):
    """Takes everything into one queue."""

    def __init__(self) -> None:
        super().__init__((), (), {})

    def by_identifiers(self, numbers: Sequence[int], topic: str) -> tuple[str, ...]:  # noqa: ARG002 - any will do
        return ("q",)

    def _by_topic(self, topic: str) -> tuple[str, ...]:  # noqa: ARG002 - any will do
        return ("q",)


class Forgetful(ExactlyOnce):
    """Knows of no message that came before: what is known of QoS 2 has tests of its own."""

    def repeats(self, batch: Batch, packet_id: int, message: Incoming) -> bool:  # noqa: ARG002 - as above
        return False


def by_decoder(
    chunks: list[bytes], *, v5: bool, most_messages: int = 100, most_bytes: int = 10**9, most_packet: int = 2**28
) -> Outcome:
    outcome = Outcome()

    def other(first: int, body: bytes) -> bool:
        outcome.others.append((first, body))
        return True

    decoder = Decoder(v5=v5, other=other, marking=True, exactly_once=Forgetful(), most_packet_bytes=most_packet)
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
        outcome.broken = True
    return outcome


def collect(batch: Batch, outcome: Outcome) -> None:
    assert len(batch.marks) == len(batch.packet_ids)
    for (packet_id, _, at, count), acknowledged in zip(batch.marks, batch.packet_ids, strict=True):
        assert count == 1
        assert acknowledged == packet_id | (RECEIVED if batch.messages[at].qos == 2 else 0)
    marks = iter(batch.marks)
    for one in batch.messages:
        mid, dup, _, _ = next(marks) if one.qos else (0, False, 0, 0)
        faulty = one.queue == QUARANTINE
        assert faulty == (one.reason is not None)
        assert faulty == ((one.properties is not None and one.properties.raw is not None) or not one.topic)
        outcome.messages.append(
            Publish(one.topic, one.payload, one.qos, one.retain, mid, dup and one.qos > 0, one.properties)
        )
    assert not batch.unroutable
    assert next(marks, None) is None


def expected(chunks: list[bytes], *, v5: bool) -> Outcome:
    """What the specification says; the DUP flag means nothing at QoS 0 (3.3.1.1)."""
    outcome = read_stream(b"".join(chunks), v5=v5)
    outcome.messages = [
        one if one.qos else Publish(one.topic, one.payload, 0, one.retain, 0, False, one.properties)
        for one in outcome.messages
    ]
    return outcome


def strings() -> st.SearchStrategy[bytes]:
    """Of any code points: U+FEFF, U+0000, non-characters, surrogates, and bytes that are no UTF-8."""
    odd = st.sampled_from(["\ufeff", "\ufeffM\u00fcller", "\0", "a\0b", "\ufffe", "\U0010ffff", "\ufdd0", "\ud800", ""])
    any_text = st.text(st.characters(codec=None), max_size=20) | odd
    return any_text.map(text) | st.sampled_from([b"\0\1\xff", b"\0\2\xc0\x80", b"\0\4\xf4\x90\x80\x80"])


def one_property() -> st.SearchStrategy[bytes]:
    four = st.integers(0, 2**32 - 1).map(lambda number: number.to_bytes(4, "big"))
    two = st.integers(0, 2**16 - 1).map(lambda number: number.to_bytes(2, "big"))
    return st.one_of(
        st.integers(0, 3).map(lambda number: bytes([1, number])),
        four.map(lambda value: b"\x02" + value),
        strings().map(lambda value: b"\x03" + value),
        strings().map(lambda value: b"\x08" + value),
        st.binary(max_size=200).map(lambda value: b"\x09" + text(value)),
        st.just(b"\x0b\x01") | st.integers(0, 268_435_455).map(lambda number: b"\x0b" + length(number)),
        two.map(lambda value: b"\x23" + value),
        st.tuples(strings(), strings()).map(lambda pair: b"\x26" + pair[0] + pair[1]),
        st.tuples(strings(), strings()).map(lambda pair: b"\x26" + pair[0] + pair[1]),
        st.binary(min_size=1, max_size=4),  # unknown ones, and lengths that reach anywhere
    )


@st.composite
def property_sections(draw: st.DrawFn) -> bytes:
    inside = b"".join(draw(st.lists(one_property(), max_size=draw(st.sampled_from([0, 1, 1, 2, 4])))))
    if draw(st.integers(0, 30)) == 0:
        inside += user_property("n", "v") * draw(st.sampled_from([1_000, 3_000]))
    declared = len(inside)
    if draw(st.integers(0, 9)) == 0:
        declared = draw(st.integers(0, declared + 200))
    return draw(st.sampled_from([b""] * 30 + [b"\xff\xff\xff\xff"])) + length(declared) + inside


@st.composite
def packets(draw: st.DrawFn, *, v5: bool) -> bytes:
    kind = draw(st.sampled_from(["publish"] * 8 + ["other", "noise"]))
    if kind == "noise":
        return draw(st.binary(min_size=1, max_size=12))
    if kind == "other":
        first = draw(st.sampled_from([0x20, 0x40, 0x62, 0x90, 0xB0, 0xD0, 0xE0, 0xF0]))
        body = draw(st.binary(max_size=150))
        return bytes([first]) + length(len(body)) + body
    qos = draw(st.sampled_from([0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 3]))
    first = 0x30 | draw(st.sampled_from([0, 8])) | qos << 1 | draw(st.integers(0, 1))
    topic = draw(
        st.one_of(
            st.sampled_from([b"a/b", b"$SYS/x", "ü/ß".encode(), b"\xff\xfe", b"t" * 600, b""]),
            st.binary(min_size=1, max_size=9),
        )
    )
    body = len(topic).to_bytes(2, "big") + topic
    if qos:
        body += draw(st.integers(0, 3) | st.integers(1, 65_535)).to_bytes(2, "big")
    if v5:
        body += draw(st.one_of(st.just(b"\0"), st.just(b"\x02\x0b\x01"), property_sections(), property_sections()))
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
    v5 = draw(st.sampled_from([True, True, False]))
    several = draw(st.lists(packets(v5=v5), max_size=12))
    if several:
        several += draw(st.lists(alike(several), max_size=12))
    stream = b"".join(several)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    edges = [0, *cuts, len(stream)]
    return v5, [stream[a:b] for a, b in pairwise(edges) if a < b]


@settings(max_examples=200)
@example((False, [b"\0", b"0\x05\0\x03a/b"]), 1, 1)
@given(streams(), st.integers(1, 5), st.sampled_from([1, 500, 10**9]))
def test_the_same_as_the_specification(stream: tuple[bool, list[bytes]], most_messages: int, most_bytes: int) -> None:
    """Any mix of packets, flags and properties, split anywhere and malformed too, is read as the specification says.

    The oracle is ``support/specification.py``, written by its sections: 1.5 (data types), 2.1 (fixed header), 2.2.1 (packet
    identifier), 2.2.2 (properties) and 3.3 (PUBLISH). Whatever is not a broken frame is a message; where properties are
    malformed they are kept raw, and the message is a dead letter.
    """
    v5, chunks = stream
    ours = by_decoder(chunks, v5=v5, most_messages=most_messages, most_bytes=most_bytes)
    theirs = expected(chunks, v5=v5)
    if not (ours.broken or theirs.broken):
        assert ours == theirs
        return
    assert (ours.messages, ours.others, ours.broken) == (theirs.messages, theirs.others, theirs.broken)


DIFFERENCES = {
    "1.5.4-3: U+FEFF has to be kept": user_property("\ufeffname", "M\u00fcller"),
    "1.5.4-2: U+0000 is malformed; fmq keeps it": user_property("a\0b", ""),
    "1.5.4-1: surrogates are malformed; fmq keeps them": user_property("a", "\ud83d"),
    "3.3.2.3.2: other payload formats than 0 and 1 are not defined; fmq keeps them": b"\x01\x02",
    "3.3.2.3.4: a topic alias of 0 is an error of the broker's; fmq needs none": b"\x23\0\0",
    "3.3.2.3.8: a subscription identifier of 0 is too": b"\x0b\0",
}
"""Valid or harmless sections that paho's reader calls malformed, by what the specification says."""


@pytest.mark.parametrize("name", DIFFERENCES)
def test_where_paho_differs(name: str) -> None:
    """Paho refuses these, which was one reconnect after another for fmq; here they are ordinary messages.

    Further: paho reads a property whose section ends too early on into the payload (2.2.2.1), takes a packet identifier of 0
    (2.2.1), waits for more after a packet of type 0 (2.1.2), refuses an empty topic with 3.1.1 only (3.3.2.1), and needs time
    that grows with the square of the number of properties. What both call malformed ends the connection with paho.
    """
    section = length(len(DIFFERENCES[name])) + DIFFERENCES[name]
    with pytest.raises((MQTTException, UnicodeDecodeError)):
        PahoProperties(PacketTypes.PUBLISH).unpack(section)  # type: ignore[no-untyped-call]
    assert decode_properties(section).fault is None


def test_what_paho_reads_into_the_payload() -> None:
    """A property that reaches past its section takes nothing of the payload: it is malformed (2.2.2.1)."""
    PahoProperties(PacketTypes.PUBLISH).unpack(b"\x01\x01" + b"\x01" * 9)  # type: ignore[no-untyped-call]
    (found,) = by_decoder([publish("t", b"\x01" * 9, section=b"\x01\x01")], v5=True).messages
    assert (found.payload, found.properties) == (b"\x01" * 9, Properties(raw=b"\x01\x01"))


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        (b"\x01\x55", "property 85"),
        (b"\x02\x1f\0", "property 31"),
        (b"\x0a\x03\0\1x\x03\0\1y" + b"\x0b\x01", "content_type is there more than once"),
        (b"\x05\x26\0\1\xff\0", "past the end"),
        (b"\x06\x26\0\1\xff\0\0", "not UTF-8"),
        (b"\x03\x26\0\x09", "past the end"),
        (b"\x05\x0b\xff\xff\xff\xff", "subscription identifier of more than four bytes"),
        (b"\x7f\0", "property length of 127 reaches past the end"),
        (b"\xff\xff\xff\xff\x01", "property length of more than four bytes"),
        (b"\x80", "ends before the property length"),
        (b"", "ends before the property length"),
    ],
)
def test_malformed_properties_make_a_dead_letter(section: bytes, reason: str) -> None:
    """The message is acknowledged and kept with its raw properties and a reason; what follows is read as ever."""
    decoder = Decoder(v5=True, other=lambda _first, _body: True)
    decoder.route(Router(["#"], [], {"#": 1}))
    decoder.feed(publish("a/b", section=section, packet_id=7) * 2 + publish("a/b", b"x", packet_id=8))
    batch = Batch(1)
    decoder.decode(batch, now=0, most_messages=9, most_bytes=9_999)
    assert batch.packet_ids == [7, 7, 8]
    assert [one.queue for one in batch.messages] == [QUARANTINE, QUARANTINE, "#"]
    assert [one.topic for one in batch.quarantined] == ["a/b"] * 2
    bad = batch.messages[0]
    assert bad.properties == Properties(raw=section)
    assert reason in (bad.reason or "")


def test_a_topic_alias_that_was_never_offered() -> None:
    """With a topic it does no harm (3.3.2.3.4); without one nobody knows the topic, and the message is a dead letter."""
    decoder = Decoder(v5=True, other=lambda _first, _body: True)
    decoder.route(Router(["#"], [], {"#": 1}))
    for topic in ("a", ""):
        decoder.feed(publish(topic, b"x", properties=b"\x23\0\x05"))
        batch = Batch(1)
        decoder.decode(batch, now=0, most_messages=9, most_bytes=9_999)
        (found,) = batch.messages
        assert (found.queue, found.topic, found.reason) == (
            ("#", "a", None) if topic else (QUARANTINE, "", "no topic, but topic alias 5")
        )


@pytest.mark.parametrize("size", [1, 16])
def test_many_user_properties_take_linear_time_and_bounded_memory(size: int) -> None:
    """150,000 are all there, in order; beyond the bound they are kept raw. Neither takes longer for being many."""
    count = 150_000
    pairs = tuple((f"{number}"[:size], "v" * (size - 1)) for number in range(count))
    inside = b"".join(user_property(*pair) for pair in pairs)
    began = process_time()
    found = decode_properties(length(len(inside)) + inside)
    assert process_time() - began < 3
    assert found.kept is not None
    assert found.kept.user_properties == pairs
    inside = user_property("", "") * (MOST_USER_PROPERTIES + 1)
    section = length(len(inside)) + inside
    more = decode_properties(section)
    assert more.kept == Properties(raw=section)
    assert "200000 user properties" in (more.fault or "")
    inside = user_property("", "") * (16 * 1024 * 1024 // 5)
    began = process_time()
    assert decode_properties(length(len(inside)) + inside).fault
    assert process_time() - began < 3


def test_a_batch_counts_what_properties_take() -> None:
    """A batch full of messages with many user properties holds few of them: its limit is in bytes of memory."""
    inside = user_property("", "") * 10_000
    decoder = Decoder(v5=True, other=lambda _first, _body: True)
    decoder.route(OneQueue())
    decoder.feed(publish("t", properties=inside) * 10)
    batch = Batch(1)
    decoder.decode(batch, now=0, most_messages=100, most_bytes=4_000_000)
    assert batch.packets == 2
    assert len(inside) * 2 < 4_000_000 < batch.size


@pytest.mark.parametrize("v5", [False, True])
@pytest.mark.parametrize("piece", [1, 7, 1_000, 10**6])
def test_a_packet_that_is_too_large_is_passed_over(*, v5: bool, piece: int) -> None:
    """However its bytes come, it is neither held nor acknowledged, its topic is reported, and what stands around it is read."""
    none = b"" if v5 else None
    small = publish("t", b"s", packet_id=3, properties=none)
    large = publish("some/topic", b"x" * 1_000, packet_id=4, properties=none)
    stream = small + large + large + small
    decoder = Decoder(v5=v5, other=lambda _first, _body: True, most_packet_bytes=len(large) - 1)
    decoder.route(OneQueue())
    batch = Batch(1)
    for at in range(0, len(stream), piece):
        decoder.feed(stream[at : at + piece])
        decoder.decode(batch, now=0, most_messages=100, most_bytes=10**9)
        assert len(decoder._part) < 100
    assert batch.packet_ids == [3, 3]
    assert batch.oversized == [("some/topic", len(large), 1)] * 2
    assert by_decoder([stream], v5=v5, most_packet=len(large)).messages[1].payload == b"x" * 1_000


def test_what_is_too_large_and_no_message_is_a_broken_frame() -> None:
    """No broker sends a SUBACK of a gigabyte."""
    outcome = by_decoder([b"\x90" + length(200_000)], v5=True, most_packet=100_000)
    assert outcome.broken


@pytest.mark.parametrize("v5", [False, True])
def test_a_packet_identifier_of_zero_is_malformed(*, v5: bool) -> None:
    """No PUBACK with such an identifier may go out (MQTT 5, section 2.2.1); what came before is kept."""
    good, bad = (b"\x32\x06\x00\x01t\x00" + bytes([number]) + b"\0" for number in (7, 0))
    outcome = by_decoder([good + bad + good], v5=v5, most_messages=10, most_bytes=10**9)
    assert [one.packet_id for one in outcome.messages] == [7]
    assert outcome.broken


@pytest.mark.parametrize("v5", [False, True])
def test_a_large_packet_in_many_reads(*, v5: bool) -> None:
    """A packet of 3 MB that comes in small pieces is put together once, with what stands before and behind it."""
    small = b"\x32\x08\x00\x01t\x00\x07" + (b"\0" if v5 else b"p") + b"ab"
    body = b"\x00\x01t\x00\x08" + (b"\0" if v5 else b"") + b"x" * 3_000_000
    stream = small + b"\x32" + length(len(body)) + body + small
    chunks = [stream[at : at + 1_460] for at in range(0, len(stream), 1_460)]
    outcome = by_decoder(chunks, v5=v5, most_messages=10, most_bytes=10**9)
    assert [len(one.payload) for one in outcome.messages] == [2 + (not v5), 3_000_000, 2 + (not v5)]


def test_large_packets_that_begin_alike() -> None:
    """Two of the same size, in which the length of the topic comes too late to be among the bytes that are looked up."""
    stream = b""
    for topic in (b"a", b"ab"):
        body = len(topic).to_bytes(2, "big") + topic + b"\x01\x02" + b"x" * (20_000 - len(topic))
        stream += b"\x32" + length(len(body)) + body
    outcome = by_decoder([stream], v5=False, most_messages=10, most_bytes=10**9)
    assert [(one.topic, len(one.payload), one.packet_id) for one in outcome.messages] == [
        ("a", 19_999, 0x102),
        ("ab", 19_998, 0x102),
    ]


@pytest.mark.parametrize("v5", [False, True])
def test_what_a_packet_lacks(*, v5: bool) -> None:
    """What completes a packet is known once its length is, and is all that has to be read for it."""
    packet = b"\x32\x08\x00\x01t\x00\x07" + (b"\0" if v5 else b"p") + b"ab"
    for cut in range(len(packet)):
        decoder = Decoder(v5=v5, other=lambda _first, _body: True)
        decoder.route(Router(["#"], [], {"#": 1}))
        batch = Batch(1)
        decoder.feed(packet + packet[:cut])
        decoder.decode(batch, now=0, most_messages=9, most_bytes=999)
        assert decoder.missing == (len(packet) - cut if cut > 1 else None)
        decoder.feed(packet[cut:])
        decoder.decode(batch, now=0, most_messages=9, most_bytes=999)
        assert (len(batch.messages), decoder.ready, decoder.missing) == (2, False, None)


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
