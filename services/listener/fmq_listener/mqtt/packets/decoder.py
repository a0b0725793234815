"""From a stream of bytes to packets, and from PUBLISH packets to messages: many at a time, in plain Python.

One call decodes everything that one read brought. What makes it fast is what it does not do for each packet: no read,
no lock, no call, and no decoding of what it has seen before. Topics repeat. So do the property sections of a
publisher that sets no properties, since they hold the subscription identifier only. Both are looked up by their bytes. And since a publisher's messages resemble each other, a packet that begins as an earlier one
did (the same flags, length and length of the topic: its first bytes) is taken apart by one ``struct`` made for that one;
if then topic and properties are not known ones, its fields may lie elsewhere, and it is read from its beginning.

PUBLISH is decoded here (MQTT 5 and 3.1.1, section 3.3); every other packet goes to ``other`` whole.

Only a broken frame ends the connection: a packet whose end nobody can tell, or that nobody could acknowledge. What is
whole is stored and acknowledged, whatever it holds: otherwise the broker would deliver it forever (docs/adr/0016).
"""

import struct
from collections.abc import Callable
from typing import Any

from paho.mqtt.exception import MQTTException

from fmq.message import Incoming
from fmq_listener.filters import Router
from fmq_listener.mqtt.packets.batch import Batch, Oversized
from fmq_listener.mqtt.packets.exactly_once import ExactlyOnce
from fmq_listener.mqtt.packets.meanings import Known, Meanings, count_apart
from fmq_listener.mqtt.packets.properties import end_of_section, variable_length

_LARGEST = 268_435_460
"""Bytes of the largest packet that there can be, with its header (MQTT 5, section 2.1.4)."""
_KEY = 5
"""How many bytes tell the flags, the length (of one or two bytes) and the length of the topic."""
_SHAPES = 2_048
"""How many of the ways in which packets begin are remembered: some 400 bytes each."""
_MALFORMED = (struct.error, IndexError, KeyError, ValueError, MQTTException)

_WHOLE = 1024 * 1024
"""Bytes. What is left behind a larger packet is copied, so that the packet itself is freed before its commit."""

_Shape = tuple[Callable[[bytes, int], tuple[Any, ...]], int, int, bool, int]
"""Of packets that begin with the same bytes: what takes them apart, their size, QoS, retain flag, and size of properties."""

Other = Callable[[int, bytes], bool]
"""Takes the first byte of a packet and what follows its length; False ends decoding: the connection has ended."""


RECEIVED = 0x1000_0000
"""Marks a packet identifier to be answered by PUBREC instead of PUBACK; it is the bit in which their headers differ."""
_TOO_SHORT = "a PUBLISH too short for its topic and packet identifier"


class Malformed(Exception):
    """The broker sent a broken frame: the connection has to end (MQTT 5, section 4.13)."""


class Decoder:
    """Holds what was read of one connection and not decoded yet."""

    def __init__(
        self,
        *,
        v5: bool,
        other: Other,
        marking: bool = False,
        exactly_once: ExactlyOnce | None = None,
        most_packet_bytes: int = _LARGEST,
    ) -> None:
        """``marking``: batches get their ``marks``. Of PUBLISH packets above ``most_packet_bytes`` nothing is held."""
        self._v5 = v5
        self._exactly_once = exactly_once or ExactlyOnce()
        self.most_packet_bytes = most_packet_bytes
        self._marking = marking
        self._other = other
        self._meanings = Meanings(v5=v5)
        self._data = b""
        self._position = 0
        self._part = bytearray()  # a packet whose end has not come yet
        self._needed = 0  # how many bytes it will have at least
        self._is_measured = False  # whether it will have just these
        self._passing = 0  # how many bytes of a packet that is too large are still to come
        self._shapes: dict[bytes, _Shape] = {}

    def start(self) -> None:
        """Begin with a new connection: what was left of the last one is void."""
        self._data, self._position, self._part, self._needed, self._passing = b"", 0, bytearray(), 0, 0

    def route(self, router: Router) -> None:
        """Find queues by ``router`` from now on."""
        self._meanings.route(router)

    @property
    def ready(self) -> bool:
        """Whether something was read that ``decode`` has not looked at yet."""
        return self._position < len(self._data)

    @property
    def missing(self) -> int | None:
        """How many bytes complete the packet that was read in part. None if there is none, or its length is not known yet.

        Who reads just these does not join what follows them, a megabyte perhaps, with the packet's beginning.
        """
        return self._needed - len(self._part) if self._part and self._is_measured else None

    def feed(self, data: bytes) -> None:
        """Take what was read. To be called only when nothing is ``ready``."""
        if self._passing:
            passed = min(self._passing, len(data))
            self._passing -= passed
            data = data[passed:]
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
        v5, seen, shapes = self._v5, self._meanings.known, self._shapes
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
                            length, at = variable_length(data, at - 1)
                            if not at:
                                self._keep(position, end - position + 1)
                                return
                    stop = at + length
                    if stop - position > self.most_packet_bytes:
                        if not self._pass_over(batch, position, at, stop):
                            return
                        position = self._position
                        continue
                    if stop > end:
                        self._keep(position, stop - position)
                        self._is_measured = True
                        return
                    if first & 0xF0 != 0x30:
                        self._position = position = stop
                        batch.size, batch.packets = size, most_messages - room
                        going_on = self._other(first, data[at:stop])
                        room, size = most_messages - batch.packets, batch.size
                        if not going_on:
                            return
                        continue
                    # Topic, packet identifier, properties, payload: MQTT 5, section 3.3.2.
                    qos, retain = first >> 1 & 3, first & 1 == 1
                    if qos == 3 or at + 2 > stop:
                        raise Malformed("a PUBLISH of QoS 3" if qos == 3 else _TOO_SHORT)
                    head = at + 2
                    at = head + (data[at] << 8 | data[at + 1])
                    raw_topic = data[head:at]
                    packet_id = 0
                    if qos and at + 2 <= stop:
                        packet_id = data[at] << 8 | data[at + 1]
                        if not packet_id:  # MQTT 5, section 2.2.1
                            raise Malformed("a packet identifier of 0")
                        at += 2
                    elif qos or at > stop:
                        raise Malformed(_TOO_SHORT)
                    section = b""
                    if v5:
                        after = end_of_section(data, at, stop)
                        section = data[at:after]
                        at = after
                    known = seen.get((section, raw_topic))
                    if known is None:
                        known, weight = self._meanings.learn(section, raw_topic)
                        size += weight
                    payload = data[at:stop]
                    if qos == 2:
                        self._receive_exactly_once(batch, known, payload, now, packet_id, first)
                        size += stop - position
                        room -= 1
                        self._position = position = stop
                        continue
                    head -= position
                    if head <= _KEY and (len(shapes) < _SHAPES if shape is None else shape[-1] != len(section)):
                        key = data[position : position + _KEY]
                        layout = f">{head}x{len(raw_topic)}s{'H' if qos else '0s'}{len(section)}s{len(payload)}s"
                        shapes[key] = struct.Struct(layout).unpack_from, stop - position, qos, retain, len(section)
                queues, topic, properties, reason, apart = known
                if qos:
                    if add_mark is not None:
                        add_mark((packet_id, data[position] & 0x08 != 0, len(batch.messages), len(queues)))
                    add_packet_id(packet_id)
                for queue in queues:
                    add_message(make(Incoming, (queue, topic, payload, now, qos, retain, properties, reason)))
                if apart:
                    count_apart(batch, known)
                size += stop - position
                room -= 1
                self._position = position = stop
        except _MALFORMED as error:
            raise Malformed(str(error)) from error
        finally:
            batch.size, batch.packets = size, most_messages - room
            if position > _WHOLE and self._data is data:
                self._data, self._position = data[position:], 0

    def _receive_exactly_once(
        self, batch: Batch, known: Known, payload: bytes, now: float, packet_id: int, first: int
    ) -> None:
        """The first half of QoS 2: stored like the others, unless it was stored already and not released yet."""
        queues, topic, properties, reason, apart = known
        messages = [Incoming(queue, topic, payload, now, 2, first & 1 == 1, properties, reason) for queue in queues]
        if self._exactly_once.repeats(batch, packet_id, messages[0]):
            messages = []
        elif apart:
            count_apart(batch, known)
        if self._marking:
            batch.marks.append((packet_id, first & 0x08 != 0, len(batch.messages), len(messages)))
        batch.packet_ids.append(packet_id | RECEIVED)
        batch.messages += messages

    def _pass_over(self, batch: Batch, position: int, at: int, stop: int) -> bool:
        """Leave out the packet at ``position``, which is too large. False if first more of it has to come."""
        data, first = self._data, self._data[position]
        if first & 0xF0 != 0x30:
            raise Malformed(f"a packet of type {first >> 4} with {stop - position} bytes")
        head = at + 2
        topic_end = head + (data[at] << 8 | data[at + 1]) if head <= len(data) else head
        if topic_end > len(data) and topic_end <= stop:
            self._keep(position, topic_end - position)
            return False
        topic = data[head : min(topic_end, stop)].decode(errors="backslashreplace")
        batch.oversized.append(Oversized(topic, stop - position, first >> 1 & 3))
        self._passing = max(0, stop - len(data))
        self._position = min(stop, len(data))
        return True

    def _keep(self, position: int, needed: int) -> None:
        """Wait for the rest of the packet at ``position``, which has ``needed`` bytes or more."""
        self._part = bytearray(self._data[position:])
        self._needed, self._is_measured = needed, False
        self._data, self._position = b"", 0
