"""A PUBLISH, byte for byte."""

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from fmq.message import Properties
from fmq.mqtt.packets import Packet, make_packet, publish_properties


def encoded(packet: Packet, packet_id: int) -> bytes:
    return packet.head + packet_id.to_bytes(2, "big") + packet.properties + packet.payload


def by_paho(
    topic: str, payload: bytes, *, version: int, properties: PahoProperties | None, qos: int, retain: bool
) -> bytes:
    """The same as paho encodes it, with the packet identifier 1."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion(version))
    client._in_callback_mutex.acquire()  # as within a callback: then nothing is sent yet
    client._sock = client  # type: ignore[assignment] # anything: nobody writes to it
    client._send_publish(1, topic.encode(), payload, qos, retain, properties=properties)
    client._sock = None
    (queued,) = client._out_packet
    return bytes(queued["packet"])


@pytest.mark.parametrize("version", [5, 4])
@pytest.mark.parametrize(("qos", "retain"), [(1, False), (1, True), (2, False)])
@pytest.mark.parametrize("size", [0, 1, 90, 120, 16_300, 16_400, 2_097_200])
def test_as_paho_encodes_it(version: int, qos: int, retain: bool, size: int) -> None:  # noqa: FBT001 - a parameter
    """With lengths of one to four bytes; its size is that of all bytes."""
    kept, theirs = b"", None
    if version == 5:
        kept = publish_properties(Properties(content_type="text", user_properties=(("ä", "1"),)), expiry=7)
        theirs = PahoProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        theirs.ContentType, theirs.MessageExpiryInterval, theirs.UserProperty = "text", 7, [("ä", "1")]
    packet = make_packet("a/ü", bytes(size), retain=retain, properties=kept, qos=qos)
    assert len(encoded(packet, 1)) == packet.size
    expected = by_paho("a/ü", bytes(size), version=version, properties=theirs, qos=qos, retain=retain)
    assert encoded(packet, 1) == expected


def test_as_far_as_the_broker_takes_it() -> None:
    """A lower QoS and no retain flag change the first byte only."""
    packet = make_packet("a", b"x", retain=True, properties=b"\0", qos=2)
    assert packet.head[0] == 0x35
    limited = packet.limited(qos=1, retains=False)
    assert (limited.head[0], limited.qos, limited.retain) == (0x32, 1, False)
    assert encoded(limited, 9)[1:] == encoded(packet, 9)[1:]


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0", "x" * 65_536, "\ud800"])
def test_no_topic(topic: str) -> None:
    """A packet can't be made with a topic that nobody can publish on."""
    with pytest.raises(ValueError, match=r"topic|codec"):
        make_packet(topic, b"", retain=False, properties=b"")


def test_too_large_for_mqtt() -> None:
    """A length has four bytes at most (MQTT 5, section 1.5.5)."""
    with pytest.raises(ValueError, match="268435456 bytes are too many"):
        make_packet("a", bytes(268_435_456 - 6), retain=False, properties=b"\0")
