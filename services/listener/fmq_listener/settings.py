"""What a listener is told, beside what every service is."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from fmq.queue import Retention
from fmq.settings import Names, Settings, setting
from fmq_listener.filters import TopicFilter, overlapping, parse_all
from fmq_listener.url import BrokerUrl, parse_url

_WEEK = 7 * 24 * 3600
_NEVER_EXPIRES = 0xFFFFFFFF


def _seconds_or_forever(value: object) -> object:
    return None if value == "forever" else value


KeptSeconds = Annotated[Annotated[float, Field(ge=0, allow_inf_nan=False)] | None, BeforeValidator(_seconds_or_forever)]
"""Seconds; ``forever`` is None."""


class ListenerSettings(Settings):
    """What a listener is told."""

    topics: Names = setting(
        (),
        about="Topic filters, with commas between; arguments of the command come before it.",
        right="one topic filter or more, such as dstdb or sensors/+/temp,alerts/# or $share/group/dstdb",
    )
    broker_url: str = setting(
        "mqtt://127.0.0.1:1883",
        about="The broker: mqtt:// or mqtts:// (TLS), ws:// or wss:// (WebSocket).",
        right="mqtt://user@host:1883, mqtts://host, ws://host/path or wss://host/path",
    )
    broker_username: str | None = setting(
        None, about="The user name at the broker; comes before one in the URL.", right="a user name", min_length=1
    )
    broker_password: SecretStr | None = setting(
        None, about="The password at the broker; comes before one in the URL.", right="a password beside a user name"
    )
    client_id: str | None = setting(
        None,
        about="What the broker knows this listener's session by; one listener each. By default made of the host name "
        "and the first topic filter: set it where the host name changes, as in a container.",
        right="a short name of its own for each listener, such as fmq-1",
        min_length=1,
        max_length=256,
        pattern=r"^[^\x00+#/]+$",
    )
    mqtt_version: Literal["5", "3.1.1"] = setting("5", about="The version of MQTT to speak.", right="5 or 3.1.1")
    session_expiry_seconds: int = setting(
        _WEEK,
        about="How long the broker keeps messages for a listener that is away (MQTT 5; 4294967295 is for ever).",
        right=f"seconds from 1 to {_NEVER_EXPIRES}, such as {_WEEK}",
        ge=1,
        le=_NEVER_EXPIRES,
    )
    keepalive_seconds: int = setting(
        60,
        about="How long a silent connection is trusted before it is tested.",
        right="seconds from 1 to 65535, such as 60",
        ge=1,
        le=65_535,
    )
    tls_ca_file: Path | None = setting(
        None, about="The CA that signed the broker's certificate (PEM); by default the system's.", right="a PEM file"
    )
    tls_cert_file: Path | None = setting(
        None, about="This listener's own certificate (PEM).", right="a PEM file, with its key in FMQ_TLS_KEY_FILE"
    )
    tls_key_file: Path | None = setting(
        None, about="The key of that certificate (PEM, not encrypted).", right="a PEM file beside FMQ_TLS_CERT_FILE"
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
        about="The most bytes of payload that are taken before their commit; one larger message comes alone.",
        right="a number of bytes, 1 or more, such as 67108864",
        ge=1,
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
    retention_seconds: KeptSeconds = setting(
        86_400.0,
        about="How long handled messages are kept; 0: not at all; or forever.",
        right="seconds, 0 or more, such as 86400, or forever",
    )
    dead_retention_seconds: KeptSeconds = setting(
        None, about="How long dead letters are kept, or forever.", right="seconds, 0 or more, or forever"
    )

    @field_validator("topics")
    @classmethod
    def _topics_are_filters(cls, topics: tuple[str, ...]) -> tuple[str, ...]:
        if not topics:
            raise ValueError("no topic filter is given")
        parse_all(topics)
        return topics

    @field_validator("broker_url")
    @classmethod
    def _url_is_a_broker(cls, url: str) -> str:
        parse_url(url)
        return url

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("FMQ_TLS_CERT_FILE and FMQ_TLS_KEY_FILE belong together: set both or neither")
        if not self.broker.tls and (self.tls_ca_file or self.tls_cert_file):
            raise ValueError(
                "FMQ_TLS_… files are of no use with an unencrypted FMQ_BROKER_URL: it would start with mqtts:// or wss://"
            )
        if self.password is not None and self.username is None:
            raise ValueError("FMQ_BROKER_PASSWORD needs a user name: set FMQ_BROKER_USERNAME too")
        return self

    @property
    def filters(self) -> tuple[TopicFilter, ...]:
        return parse_all(self.topics)

    @property
    def broker(self) -> BrokerUrl:
        return parse_url(self.broker_url)

    @property
    def username(self) -> str | None:
        return self.broker_username or self.broker.username

    @property
    def password(self) -> str | None:
        if self.broker_password is not None:
            return self.broker_password.get_secret_value()
        return self.broker.password

    @property
    def overlaps(self) -> list[tuple[str, str]]:
        """Pairs of filters that can match one topic."""
        return overlapping([one.name for one in self.filters])

    @property
    def retention(self) -> Retention:
        return Retention(done_seconds=self.retention_seconds, dead_seconds=self.dead_retention_seconds)
