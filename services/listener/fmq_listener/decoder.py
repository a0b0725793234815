"""From a stream of bytes to packets, and from PUBLISH packets to messages: many at a time, in plain Python.

One call decodes everything that one read brought. What makes it fast is what it does not do for each packet: no read,
no lock, no call, and no decoding of what it has seen before. Topics come again and again, and so do the property
sections of a publisher that sets no property of its own (they hold the subscription identifier only), so both are
looked up by their bytes. And since a publisher's messages resemble each other, a packet that begins as an earlier one
did (the same flags, length and length of the topic: its first bytes) is taken apart by one ``struct`` made for that one;
if then topic and properties are not known ones, its fields may lie elsewhere, and it is read from its beginning.

PUBLISH of QoS 0 and 1 is decoded here (MQTT 5 and 3.1.1, section 3.3); every other packet goes to ``other`` whole.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt.exception import MQTTException

from fmq.message import Incoming, Properties
from fmq_listener.batch import Batch
from fmq_listener.filters import Router
from fmq_listener.properties import decode_properties

_KEPT = 4_096
_LONGEST_KEPT = 512
_KEY = 5
"""How many bytes tell the flags, the length (of one or two bytes) and the length of the topic."""
_SHAPES = 2_048
"""How many of the ways in which packets begin are remembered: some 400 bytes each."""
_MALFORMED = (struct.error, IndexError, KeyError, ValueError, MQTTException)

_Known = tuple[tuple[str, ...], str, Properties | None]
"""What a property section and a topic mean: the queues, the topic as text, and the properties to keep."""

_Shape = tuple[Callable[[bytes, int], tuple[Any, ...]], int, int, bool, int]
"""Of packets that begin with the same bytes: what takes them apart, their size, QoS, retain flag, and size of properties."""

Other = Callable[[int, bytes], bool]
"""Takes the first byte of a packet and what follows its length; False ends decoding: the connection has ended."""


class Malformed(Exception):
    """The broker sent what is no MQTT packet: the connection can't go on (MQTT 5, section 4.13)."""


class Decoder:
    """Holds what was read of one connection and not decoded yet."""

    def __init__(self, *, v5: bool, other: Other, marking: bool = False) -> None:
        """``marking``: batches get their ``marks``."""
        self._v5 = v5
        self._marking = marking
        self._other = other
        self._router = Router((), (), {})
        self._data = b""
        self._position = 0
        self._part = bytearray()  # a packet whose end has not come yet
        self._needed = 0  # how many bytes it will have at least
        self._known: dict[tuple[bytes, bytes], _Known] = {}
        self._shapes: dict[bytes, _Shape] = {}

    def start(self) -> None:
        """Begin with a new connection: what was left of the last one is void."""
        self._data, self._position, self._part, self._needed = b"", 0, bytearray(), 0

    def route(self, router: Router) -> None:
        """Find queues by ``router`` from now on."""
        self._router = router
        self._known.clear()

    @property
    def ready(self) -> bool:
        """Whether something was read that ``decode`` has not looked at yet."""
        return self._position < len(self._data)

    def feed(self, data: bytes) -> None:
        """Take what was read. To be called only when nothing is ``ready``."""
        if not self._part:
            self._data, self._position = data, 0
            return
        # A large packet is copied once it is whole, however many reads it takes.
        self._part += data
        if len(self._part) >= self._needed:
            self._data, self._position = bytes(self._part), 0
            self._part = bytearray()

    def decode(  # noqa: C901, PLR0912, PLR0915 - one loop without calls: this is what makes it fast
        self, batch: Batch, *, now: float, most_messages: int, most_bytes: int
    ) -> None:
        """Decode into ``batch`` until nothing whole is left or the batch has reached a limit. Raises Malformed."""
        data, position, end = self._data, self._position, len(self._data)
        v5, seen, shapes = self._v5, self._known, self._shapes
        add_message, add_packet_id, make = batch.messages.append, batch.packet_ids.append, tuple.__new__
        add_mark = batch.marks.append if self._marking else None
        room = most_messages - batch.packets
        size = batch.size
        stop = packet_id = qos = 0
        retain, payload = False, b""
        try:
            while position < end and room > 0 and size < most_bytes:
                shape = shapes.get(data[position : position + _KEY])
                known = None
                if shape is not None:
                    unpack, stop, qos, retain, _ = shape
                    stop += position
                    if stop <= end:
                        raw_topic, packet_id, section, payload = unpack(data, position)
                        # A section tells its own length: one that is known has no more and no fewer bytes.
                        if packet_id or not qos:
                            known = seen.get((section, raw_topic))
                if known is None:
                    # The fixed header: MQTT 5, section 2.1.
                    first = data[position]
                    if first < 0x10:
                        raise Malformed("a packet of type 0")
                    at = position + 2
                    if at > end:
                        self._keep(position, 2)
                        return
                    length = data[at - 1]
                    if length > 127:
                        if at < end and data[at] < 128:  # two bytes, as most often
                            length += (data[at] - 1) << 7
                            at += 1
                        else:
                            length, at = _variable_length(data, at - 1)
                            if not at:
                                self._keep(position, end - position + 1)
                                return
                    stop = at + length
                    if stop > end:
                        self._keep(position, stop - position)
                        return
                    if first & 0xF4 != 0x30:  # not PUBLISH, or one of QoS 2 (or 3, which there is not)
                        self._position = position = stop
                        batch.size, batch.packets = size, most_messages - room
                        going_on = self._other(first, data[at:stop])
                        room, size = most_messages - batch.packets, batch.size
                        if not going_on:
                            return
                        continue
                    # Topic, packet identifier, properties, payload: MQTT 5, section 3.3.2.
                    qos, retain = first >> 1 & 1, first & 1 == 1
                    head = at + 2
                    at = head + (data[at] << 8 | data[at + 1])
                    raw_topic = data[head:at]
                    packet_id = 0
                    if qos:
                        packet_id = data[at] << 8 | data[at + 1]
                        if not packet_id:  # MQTT 5, section 2.2.1
                            raise Malformed("a packet identifier of 0")
                        at += 2
                    section, after = b"", 1
                    if v5:
                        after = at + 1
                        length = data[at]
                        if length > 127:
                            length, after = _variable_length(data, at)
                        section = data[at : after + length]
                        at = after + length
                    if at > stop or not after:
                        raise Malformed("a field reaches past the end of its packet")
                    known = seen.get((section, raw_topic))
                    if known is None:
                        known = self._learn(section, raw_topic)
                    payload = data[at:stop]
                    head -= position
                    if head <= _KEY and (len(shapes) < _SHAPES if shape is None else shape[-1] != len(section)):
                        key = data[position : position + _KEY]
                        layout = f">{head}x{len(raw_topic)}s{'H' if qos else '0s'}{len(section)}s{len(payload)}s"
                        shapes[key] = struct.Struct(layout).unpack_from, stop - position, qos, retain, len(section)
                queues, topic, properties = known
                if qos:
                    if add_mark is not None:
                        add_mark((packet_id, data[position] & 0x08 != 0, len(batch.messages), len(queues)))
                    add_packet_id(packet_id)
                for queue in queues:
                    add_message(make(Incoming, (queue, topic, payload, now, qos, retain, properties)))
                if not queues:
                    batch.unroutable.append(topic)
                size += stop - position
                room -= 1
                self._position = position = stop
        except _MALFORMED as error:
            raise Malformed(str(error)) from error
        finally:
            batch.size, batch.packets = size, most_messages - room

    def queues(self, numbers: Sequence[int], topic: str) -> tuple[str, ...]:
        """The queues of a message with these subscription identifiers and this topic."""
        return self._router.by_identifiers(numbers, topic) if numbers else self._router.by_topic(topic)

    def _keep(self, position: int, needed: int) -> None:
        """Wait for the rest of the packet at ``position``, which has ``needed`` bytes or more."""
        self._part = bytearray(self._data[position:])
        self._needed = needed
        self._data, self._position = b"", 0

    def _learn(self, section: bytes, raw_topic: bytes) -> _Known:
        if not self._v5 and not raw_topic:
            raise Malformed("an empty topic")
        topic = raw_topic.decode(errors="backslashreplace")  # stored, whatever it is
        numbers, properties = decode_properties(section)
        queues = self.queues(numbers, topic)
        if len(self._known) >= _KEPT:
            self._known.clear()
        if len(section) + len(raw_topic) <= _LONGEST_KEPT:
            self._known[section, raw_topic] = queues, topic, properties
        return queues, topic, properties


def _variable_length(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer (MQTT 5, section 1.5.5) and where it ends; 0 for the end if data ends before it does."""
    value = 0
    for shift in (0, 7, 14, 21):
        if at >= len(data):
            return 0, 0
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise Malformed("a length of more than four bytes")
