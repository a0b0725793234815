"""A parser of PUBLISH packets written from the specification, section by section: slow and plain, to compare with.

Sections are those of MQTT 5.0 (OASIS Standard, 7 March 2019); 3.1.1 has the same numbers for what both have.
It shares no code with fmq. Where fmq is more tolerant than the specification asks, it says so.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from fmq.message import Properties

MOST_USER_PROPERTIES = 200_000
MOST_TEXT = 32 * 1024 * 1024


class BrokenFrame(Exception):
    """Nobody can tell where the packet ends, or which identifier would acknowledge it: the connection ends (4.13.1)."""


class MalformedProperties(Exception):
    """The frame is whole; its properties are not as 2.2.2 and 3.3.2.3 say."""


class Incomplete(Exception):
    """The stream ends before the packet does."""


@dataclass(frozen=True)
class Publish:
    """One PUBLISH. ``raw``: whether its properties are malformed, and kept as they came."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    packet_id: int
    dup: bool
    properties: Properties | None


@dataclass
class Outcome:
    """What a reader makes of a stream."""

    messages: list[Publish] = field(default_factory=list)
    others: list[tuple[int, bytes]] = field(default_factory=list)
    broken: bool = False


class Reader:
    """Takes fields from the front of some bytes. ``short`` is raised where there are too few."""

    def __init__(self, data: bytes, short: type[Exception]) -> None:
        self.data = data
        self.short = short

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > len(self.data):
            raise self.short
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def byte(self) -> int:
        """1.5.1 Bits: one byte."""
        return self.take(1)[0]

    def two_bytes(self) -> int:
        """1.5.2 Two Byte Integer."""
        return int.from_bytes(self.take(2), "big")

    def four_bytes(self) -> int:
        """1.5.3 Four Byte Integer."""
        return int.from_bytes(self.take(4), "big")

    def variable(self, malformed: type[Exception]) -> int:
        """1.5.5 Variable Byte Integer: four bytes at most."""
        value, multiplier = 0, 1
        while True:
            encoded = self.byte()
            value += (encoded & 127) * multiplier
            if encoded & 128 == 0:
                return value
            multiplier *= 128
            if multiplier > 128 * 128 * 128:
                raise malformed

    def binary(self) -> bytes:
        """1.5.6 Binary Data."""
        return self.take(self.two_bytes())

    def string(self) -> str:
        """1.5.4 UTF-8 Encoded String.

        [MQTT-1.5.4-3] U+FEFF stays where it is. More tolerant than [MQTT-1.5.4-1] and [MQTT-1.5.4-2], which call them malformed:
        surrogates and U+0000 are kept. What RFC 3629 calls ill-formed otherwise is malformed.
        """
        try:
            return self.binary().decode("utf-8", errors="surrogatepass")
        except UnicodeDecodeError:
            raise MalformedProperties from None


def read_stream(stream: bytes, *, v5: bool) -> Outcome:
    """All packets of a stream, up to its end or to the first broken frame."""
    outcome = Outcome()
    reader = Reader(stream, Incomplete)
    try:
        while reader.data:
            read_packet(reader, outcome, v5=v5)
    except Incomplete:
        pass
    except BrokenFrame:
        outcome.broken = True
    return outcome


def read_packet(reader: Reader, outcome: Outcome, *, v5: bool) -> None:
    """2.1 Structure of an MQTT Control Packet: fixed header, variable header, payload."""
    first = reader.byte()
    if first >> 4 == 0:  # 2.1.2: type 0 is reserved
        raise BrokenFrame
    body = reader.take(reader.variable(BrokenFrame))  # 2.1.4
    if first >> 4 == 3:
        outcome.messages.append(read_publish(first, body, v5=v5))
    else:
        outcome.others.append((first, body))


def read_publish(first: int, body: bytes, *, v5: bool) -> Publish:
    """3.3 PUBLISH. Raises BrokenFrame."""
    dup, qos, retain = first & 8 != 0, (first >> 1) & 3, first & 1 != 0  # 3.3.1
    if qos == 3:  # [MQTT-3.3.1-4]
        raise BrokenFrame
    reader = Reader(body, BrokenFrame)
    # 3.3.2.1: an ill-formed topic is kept with escapes, where the specification calls it malformed.
    topic = reader.binary().decode("utf-8", errors="backslashreplace")
    packet_id = 0
    if qos:
        packet_id = reader.two_bytes()  # 3.3.2.2
        if packet_id == 0:  # [MQTT-2.2.1-3]
            raise BrokenFrame
    properties: Properties | None = None
    if v5:
        rest = reader.data
        try:
            section = Reader(rest, MalformedProperties)
            length = section.variable(MalformedProperties)  # 2.2.2.1
            inside = section.take(length)
            reader.data = section.data
            properties = read_properties(inside, whole=rest[: len(rest) - len(section.data)])
        except MalformedProperties:
            # Raw: from the property length on to where it says that the properties end, or to the end of the packet.
            end = end_of_properties(rest)
            properties, reader.data = Properties(raw=rest[:end]), rest[end:]
    return Publish(topic, reader.data, qos, retain, packet_id, dup, properties)


def end_of_properties(rest: bytes) -> int:
    """Where the properties end as their length says; at the end of the packet if it can't be right."""
    section = Reader(rest, MalformedProperties)
    try:
        length = section.variable(MalformedProperties)
    except MalformedProperties:
        return len(rest)
    return min(len(rest) - len(section.data) + length, len(rest))


READERS: dict[int, tuple[str, Callable[[Reader], object]]] = {
    0x01: ("payload_format_indicator", Reader.byte),  # 3.3.2.3.2
    0x02: ("message_expiry_interval", Reader.four_bytes),  # 3.3.2.3.3
    0x03: ("content_type", Reader.string),  # 3.3.2.3.9
    0x08: ("response_topic", Reader.string),  # 3.3.2.3.5
    0x09: ("correlation_data", Reader.binary),  # 3.3.2.3.6
    0x23: ("topic alias", Reader.two_bytes),  # 3.3.2.3.4
}


def read_properties(inside: bytes, *, whole: bytes) -> Properties | None:
    """3.3.2.3 PUBLISH Properties. Raises MalformedProperties; ``whole`` is the section with its length.

    Values out of their range (payload format indicator 2, subscription identifier 0, topic alias 0) are the publisher's or the
    broker's own mistake and harm nobody: they are kept or not looked at.
    """
    escaped = sum(6 if byte < 0x20 or byte > 0x7E or byte in b'"\\' else 1 for byte in whole)
    if escaped > MOST_TEXT:  # fmq's own limit
        raise MalformedProperties
    reader = Reader(inside, MalformedProperties)
    found: dict[str, object] = {}
    pairs: list[tuple[str, str]] = []
    while reader.data:
        number = reader.byte()  # 2.2.2.2: a Variable Byte Integer; none has more than one byte
        if number == 0x26:  # 3.3.2.3.7: may be there many times, in order
            pairs.append((reader.string(), reader.string()))
        elif number == 0x0B:  # 3.3.2.3.8: may be there many times
            reader.variable(MalformedProperties)
        elif number in READERS:
            name, read = READERS[number]
            if name in found:  # each of them: "a Protocol Error to include … more than once"
                raise MalformedProperties
            found[name] = read(reader)
        else:  # 2.2.2.2: an identifier that is not valid for its packet type is malformed
            raise MalformedProperties
    if len(pairs) > MOST_USER_PROPERTIES:  # fmq's own limit
        raise MalformedProperties
    found.pop("topic alias", None)  # of one connection, and not kept
    kept = Properties(**found, user_properties=tuple(pairs))  # type: ignore[arg-type]
    return None if kept == Properties() else kept
