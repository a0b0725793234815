"""Listener settings, in addition to the common ones."""

from typing import Literal

from pydantic import field_validator

from fmq.broker import BrokerSettings
from fmq.settings import Names, setting
from fmq.topics import TopicFilter
from fmq.upkeep import RetentionSettings
from fmq_listener.filters import overlapping, parse_all
from fmq_listener.keys import key_of

_WEEK = 7 * 24 * 3600
_NEVER_EXPIRES = 0xFFFFFFFF
_SMALLEST_LIMIT = 128 * 1024
"""The longest topic fits in twice."""
LARGEST_PACKET = 268_435_455


class ListenerSettings(RetentionSettings, BrokerSettings):
    """Listener settings."""

    topics: Names = setting(
        (),
        about="Topic filters, with commas between; arguments of the command come before it.",
        right="one topic filter or more, such as dstdb or sensors/+/temp,alerts/# or $share/group/dstdb",
    )
    client_id: str | None = setting(
        None,
        about="The name of this listener's session at the broker, unique to each listener. By default made of the "
        "store's identity and kept with the store, so that it follows the store and its filters.",
        right="a short name of its own for each listener, such as fmq-1",
        min_length=1,
        max_length=256,
        pattern=r"^[^\x00+#/]+$",
    )
    session_expiry_seconds: int = setting(
        _WEEK,
        about="How long the broker keeps messages for a listener that is away (MQTT 5; 4294967295 is for ever).",
        right=f"seconds from 1 to {_NEVER_EXPIRES}, such as {_WEEK}",
        ge=1,
        le=_NEVER_EXPIRES,
    )
    leave_seconds: float = setting(
        6.0,
        about="How long the broker must prove that it holds nothing more, before the listener unsubscribes from a removed "
        "filter, and before and after it unsubscribes with --leave. Longer than the broker takes to deliver again what was not "
        "acknowledged (NATS: ack_wait).",
        right="seconds above 0, such as 6",
        gt=0,
        le=3_600,
    )
    keepalive_seconds: int = setting(
        60,
        about="How long a silent connection is trusted before it is tested.",
        right="seconds from 1 to 65535, such as 60",
        ge=1,
        le=65_535,
    )
    inflight: int = setting(
        10_000,
        about="The most messages that are taken before their commit (MQTT 5 Receive Maximum, and the largest batch).",
        right="a number from 1 to 65535, such as 10000",
        ge=1,
        le=65_535,
    )
    inflight_bytes: int = setting(
        64 * 1024 * 1024,
        about="The most bytes of messages that are taken before their commit; the message that reaches it is part of it.",
        right="a number of bytes, 1 or more, such as 67108864",
        ge=1,
    )
    max_packet_bytes: int = setting(
        64 * 1024 * 1024,
        about="The largest packet to receive (MQTT 5 Maximum Packet Size: the broker drops larger messages for this listener). "
        "A larger packet that comes all the same is neither held nor acknowledged.",
        right=f"a number of bytes from {_SMALLEST_LIMIT} to {LARGEST_PACKET}, such as 67108864",
        ge=_SMALLEST_LIMIT,
        le=LARGEST_PACKET,
    )
    duplicates: Literal["off", "session", "key"] = setting(
        "off",
        about="Which messages are acknowledged without being stored again: none (off), those that the broker delivers once "
        "more in its session (session), or those whose key came lately (key).",
        right="off, session or key",
    )
    duplicate_key: str = setting(
        "user:message-id",
        about="Where a message's key is, for FMQ_DUPLICATES=key: user:NAME is a user property (MQTT 5), /… a JSON pointer "
        "into the payload. What has no key is stored.",
        right="user:NAME or a JSON pointer such as /id",
    )
    duplicate_seconds: float = setting(
        3_600.0,
        about="How long a key is remembered, for FMQ_DUPLICATES=key.",
        right="seconds above 0, such as 3600",
        gt=0,
        le=366 * 86_400,
    )
    delay_max_seconds: float = setting(
        float(_WEEK),
        about="The longest that a publisher may have a message wait by the user property fmq-delay (seconds; MQTT 5); "
        "longer ones are cut to it. 0: the property means nothing.",
        right="seconds, 0 or more, such as 604800",
        ge=0,
        le=366 * 86_400,
    )
    broker_stats: bool = setting(
        False,
        about="Show on /metrics what the broker says of itself in $SYS (Mosquitto's topics): messages dropped and held. "
        "Takes a second connection, and the right to read $SYS/broker/#.",
        right="true or false",
    )
    disk_reserve_bytes: int = setting(
        16 * 1024 * 1024,
        about="Free space on the store's disk that intake does not use: it stops before, so that processors can still "
        "settle what is stored, and make room.",
        right="a number of bytes, 0 or more, such as 16777216",
        ge=0,
    )
    connect_attempts: int = setting(
        0,
        about="How often to try in a row to reach the broker before giving up; 0 is for ever.",
        right="a number, 0 or more",
        ge=0,
    )
    reconnect_max_seconds: float = setting(
        60.0,
        about="The longest pause between two attempts to reach the broker or a failing store.",
        right="seconds above 0, such as 60",
        gt=0,
        le=86_400,
    )

    @field_validator("duplicate_key")
    @classmethod
    def _key_is_an_expression(cls, expression: str) -> str:
        key_of(expression)
        return expression

    @field_validator("topics")
    @classmethod
    def _topics_are_filters(cls, topics: tuple[str, ...]) -> tuple[str, ...]:
        if not topics:
            raise ValueError("no topic filter is given")
        parse_all(topics)
        return topics

    @property
    def filters(self) -> tuple[TopicFilter, ...]:
        return parse_all(self.topics)

    @property
    def overlaps(self) -> list[tuple[str, str]]:
        """Pairs of filters that can match one topic."""
        return overlapping([one.name for one in self.filters])
