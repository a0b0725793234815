"""Listener settings, in addition to the common ones."""

from typing import ClassVar, Literal

from pydantic import field_validator

from fmq.service.broker.settings import BrokerSettings
from fmq.service.settings import Headings, Names, placed, setting
from fmq.service.upkeep import RetentionSettings
from fmq.topics import TopicFilter
from fmq_listener.filters import overlapping, parse_all
from fmq_listener.keys import key_of

_WEEK = 7 * 24 * 3600
_NEVER_EXPIRES = 0xFFFFFFFF
_SMALLEST_LIMIT = 128 * 1024
"""The longest topic fits in twice."""
LARGEST_PACKET = 268_435_455


class ListenerSettings(RetentionSettings, BrokerSettings):
    """Listener settings."""

    table: ClassVar = "listener"

    topics: Names = placed(
        setting(
            (),
            about="Topic filters, separated by commas. Arguments of the command take precedence.",
            expected="one topic filter or more, such as dstdb or sensors/+/temp,alerts/# or $share/group/dstdb",
        ),
        "listener.topics",
    )
    client_id: str | None = setting(
        None,
        about="Client id of this listener's session at the broker, unique to each listener. Default: made from the "
        "store's identity and kept in the store, so that it belongs to the store and its filters.",
        expected="a short name, different for each listener, such as fmq-1",
        min_length=1,
        max_length=256,
        pattern=r"^[^\x00+#/]+$",
    )
    session_expiry_seconds: int = setting(
        _WEEK,
        about="Time for which the broker keeps messages for an absent listener (MQTT 5; 4294967295 means forever).",
        unit="seconds",
        expected=f"a time from 1s to {_NEVER_EXPIRES}s, such as 7d",
        ge=1,
        le=_NEVER_EXPIRES,
    )
    leave_seconds: float = setting(
        6.0,
        about="Time for which the broker must prove that it holds no message, before the listener unsubscribes from a removed "
        "filter, and before and after it unsubscribes with --leave. Must be longer than the broker takes to redeliver "
        "unacknowledged messages (NATS: ack_wait).",
        unit="seconds",
        expected="a time above 0, such as 6s",
        gt=0,
        le=3_600,
    )
    keepalive_seconds: int = setting(
        60,
        about="MQTT keep-alive: how long a silent connection is trusted.",
        unit="seconds",
        expected="a time from 1s to 65535s, such as 1m",
        ge=1,
        le=65_535,
    )
    inflight: int = setting(
        10_000,
        about="Maximum number of uncommitted messages (MQTT 5 Receive Maximum, and the largest batch).",
        expected="a whole number from 1 to 65535, such as 10000",
        ge=1,
        le=65_535,
    )
    inflight_bytes: int = setting(
        64 * 1024 * 1024,
        about="Maximum memory of uncommitted messages in bytes. The message that reaches it is included.",
        unit="bytes",
        expected="a size, 1 or more, such as 64MiB",
        ge=1,
    )
    max_packet_bytes: int = setting(
        64 * 1024 * 1024,
        about="Maximum packet size in bytes (MQTT 5 Maximum Packet Size: the broker drops larger messages for this listener). "
        "A larger packet that arrives anyway is neither stored nor acknowledged.",
        unit="bytes",
        expected=f"a size from 128KiB to {LARGEST_PACKET}, such as 64MiB",
        ge=_SMALLEST_LIMIT,
        le=LARGEST_PACKET,
    )
    duplicates: Literal["off", "session", "key"] = setting(
        "off",
        about="Duplicates to acknowledge without storing them: none (off), messages that the broker redelivers in its session "
        "(session), or messages whose key came recently (key).",
        expected="off, session or key",
    )
    duplicate_key: str = setting(
        "user:message-id",
        about="Place of a message's key for FMQ_DUPLICATES=key: user:NAME is a user property (MQTT 5), /… a JSON pointer "
        "into the payload. Messages without a key are stored.",
        expected="user:NAME or a JSON pointer such as /id",
    )
    duplicate_seconds: float = setting(
        3_600.0,
        about="Time for which a key is remembered, for FMQ_DUPLICATES=key.",
        unit="seconds",
        expected="a time above 0, such as 1h",
        gt=0,
        le=366 * 86_400,
    )
    delay_max_seconds: float = setting(
        float(_WEEK),
        about="Maximum delay in seconds that a publisher can request by the user property fmq-delay (MQTT 5). "
        "Longer delays are reduced to it. 0: ignore the property.",
        unit="seconds",
        expected="a time, 0 or more, such as 7d",
        ge=0,
        le=366 * 86_400,
    )
    broker_stats: bool = setting(
        False,
        about="Show statistics of the broker on /metrics, from Mosquitto's $SYS topics: messages dropped and held. "
        "Needs a second connection and the right to read $SYS/broker/#.",
        expected="true or false",
    )
    disk_reserve_bytes: int = setting(
        16 * 1024 * 1024,
        about="Free disk space in bytes that intake leaves, so that processors can still settle messages and make room.",
        unit="bytes",
        expected="a size, 0 or more, such as 16MiB",
        ge=0,
    )
    connect_attempts: int = setting(
        0,
        about="Number of attempts in a row to reach the broker before giving up; 0: no limit.",
        expected="a number, 0 or more",
        ge=0,
    )
    reconnect_max_seconds: float = setting(
        60.0,
        about="Maximum time between two attempts to reach the broker or a failing store.",
        unit="seconds",
        expected="a time above 0, such as 1m",
        gt=0,
        le=86_400,
    )

    headings: ClassVar[Headings] = {
        "Broker": (
            "client_id",
            "session_expiry_seconds",
            "leave_seconds",
            "keepalive_seconds",
            "inflight",
            "inflight_bytes",
            "max_packet_bytes",
            "broker_stats",
            "connect_attempts",
            "reconnect_max_seconds",
        ),
        "Duplicates and delays": ("duplicates", "duplicate_key", "duplicate_seconds", "delay_max_seconds"),
        "Store": ("disk_reserve_bytes",),
    }

    @field_validator("duplicate_key")
    @classmethod
    def _key_is_an_expression(cls, expression: str) -> str:
        key_of(expression)
        return expression

    @field_validator("topics")
    @classmethod
    def _topics_are_filters(cls, topics: tuple[str, ...]) -> tuple[str, ...]:
        if not topics:
            raise ValueError("no topic filter is given, neither as TOPIC nor in FMQ_TOPICS")
        parse_all(topics)
        return topics

    @property
    def filters(self) -> tuple[TopicFilter, ...]:
        return parse_all(self.topics)

    @property
    def overlaps(self) -> list[tuple[str, str]]:
        """Pairs of filters that can match one topic."""
        return overlapping([one.name for one in self.filters])
