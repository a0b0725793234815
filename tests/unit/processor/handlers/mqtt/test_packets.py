"""Topics by template, and what a message is published as."""

from typing import Any
from uuid import UUID

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from fmq.message import NO_PROPERTIES, Message, Properties
from fmq.mqtt.packets import Packet
from fmq.outcome import Reject
from fmq_processor.handlers.mqtt.packets import MARK, Packets
from fmq_processor.handlers.mqtt.settings import MqttSettings
from fmq_processor.handlers.mqtt.template import Template
from support.clock import FakeClock

STORE = UUID("5a1f4c6e-0000-4000-8000-000000000001")


def message(topic: str = "a/b/c", *, queue: str = "a/#", properties: Properties = NO_PROPERTIES) -> Message:
    return Message(1, queue, topic, b"x", 1_800_000_000.0, properties=properties)


def packets(clock: FakeClock | None = None, **settings: str | bool) -> Packets:
    return Packets(MqttSettings(mqtt_url="mqtt://h", **settings), STORE, clock=clock or FakeClock())  # type: ignore[arg-type]


def decoded(packet: Packet) -> Any:  # noqa: ANN401 - paho sets attributes
    properties = PahoProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.unpack(packet.properties)  # type: ignore[no-untyped-call]
    return properties


class TestTemplate:
    @pytest.mark.parametrize(
        ("text", "topic"),
        [
            ("{topic}", "a/b/c"),
            ("x/{topic}/y", "x/a/b/c/y"),
            ("{3}/{1}", "c/a"),
            ("fixed", "fixed"),
            ("{2}{2}", "bb"),
            ("/{1}/", "/a/"),
        ],
    )
    def test_topics(self, text: str, topic: str) -> None:
        """Places are filled in, everything else stays."""
        assert Template(text).topic(message()) == topic

    @pytest.mark.parametrize(
        "text", ["", "{", "a}", "{}", "{0}", "{x}", "{-1}", "a/+/b", "a/#", "{topic}#", "a\0", "{1"]
    )
    def test_wrong_templates(self, text: str) -> None:
        """They are refused at the start."""
        with pytest.raises(ValueError, match=r"."):
            Template(text)

    @pytest.mark.parametrize(
        ("text", "one"),
        [("{4}", message()), ("{queue}", message()), ("{1}", message("/b")), ("{topic}" * 2, message("a" * 40_000))],
    )
    def test_topics_that_can_not_be_made(self, text: str, one: Message) -> None:
        """A missing level, a wildcard out of the queue's name, nothing at all or too much: a dead letter with the reason."""
        with pytest.raises(Reject, match="the topic can't be made"):
            Template(text).topic(one)


class TestPackets:
    def test_what_is_left_of_the_expiry(self) -> None:
        """The time in the queue counts, but never down to 0, which would be another meaning."""
        clock = FakeClock()
        one = message(properties=Properties(message_expiry_interval=60))
        for waited, left in ((0, 60), (12.9, 48), (1000, 1)):
            clock = FakeClock(wall=1_800_000_000.0 + waited)
            assert decoded(packets(clock).packet(one)).MessageExpiryInterval == left

    def test_the_size_is_that_of_the_packet(self) -> None:
        """A broker's limit is kept without giving up what it would take."""
        one = message("ü" * 50, properties=Properties(content_type="c" * 100, user_properties=(("n", "v"),)))
        packet = packets().packet(one)
        assert packet.size == len(packet.head) + 2 + len(packet.properties) + len(packet.payload)

    def test_a_message_that_came_back(self) -> None:
        """What carries the mark of its own store and queue is dead, unless loops are meant; other marks are kept."""
        own, foreign = (MARK, f"{STORE}:a/#"), (MARK, f"{STORE}:other")
        back = message(properties=Properties(user_properties=(foreign, own)))
        with pytest.raises(Reject, match="has come back"):
            packets().packet(back)
        passed = decoded(packets().packet(message(properties=Properties(user_properties=(foreign,)))))
        assert passed.UserProperty == [foreign, own]
        assert not hasattr(decoded(packets(mqtt_loops=True).packet(message())), "UserProperty")

    def test_what_can_not_be_sent(self) -> None:
        """A property that is no valid UTF-8 is a fault of its message."""
        with pytest.raises(Reject, match="its properties can't be sent"):
            packets().packet(message(properties=Properties(content_type="\ud800")))
