"""What the handler ``mqtt`` is told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import SecretStr, field_validator, model_validator

from fmq.broker import BrokerUrl, parse_url
from fmq.settings import HandlerSettings, setting
from fmq_processor.handlers.mqtt.template import Template


class MqttSettings(HandlerSettings):
    """The settings of ``fmq process --handler mqtt``."""

    mqtt_url: str = setting(
        ...,
        about="The broker to forward to: mqtt:// or mqtts:// (TLS), ws:// or wss:// (WebSocket).",
        right="mqtt://user@host:1883, mqtts://host, ws://host/path or wss://host/path",
    )
    mqtt_topic: str = setting(
        "{topic}",
        about="The topic to publish on: {topic} is the message's own, {1}, {2}… its levels, {queue} the topic filter of its queue.",
        right="a topic, such as site-7/{topic} or alerts/{2}",
    )
    mqtt_username: str | None = setting(
        None, about="The user name at that broker; comes before one in the URL.", right="a user name", min_length=1
    )
    mqtt_password: SecretStr | None = setting(
        None, about="The password at that broker; comes before one in the URL.", right="a password beside a user name"
    )
    mqtt_protocol: Literal["5", "3.1.1"] = setting(
        "5",
        about="The version of MQTT to speak there. With 3.1.1 properties are not passed on, and a refused message is not told.",
        right="5 or 3.1.1",
    )
    mqtt_client_id: str | None = setting(
        None,
        about="The client id at that broker, for one processor; further connections (FMQ_CONCURRENCY) have -2, -3… behind it. "
        "By default each connection has one of its own making.",
        right="a short name of its own for each processor, such as fmq-forward-1",
        min_length=1,
        max_length=256,
        pattern=r"^[^\x00+#/]+$",
    )
    mqtt_retain: Literal["keep", "never"] = setting(
        "never",
        about="Whether a message that came with the retain flag goes on with it: keep or never.",
        right="keep or never",
    )
    mqtt_loops: bool = setting(
        False,
        about="Forward messages even if they come back into their queue. By default they are marked by a user property, "
        "and one that comes back is a dead letter.",
        right="true or false",
    )
    mqtt_inflight: int = setting(
        1_000,
        about="The most messages that wait for their PUBACK on one connection; the broker may ask for fewer.",
        right="a number from 1 to 65535, such as 1000",
        ge=1,
        le=65_535,
    )
    mqtt_ack_seconds: float = setting(
        10.0,
        about="How long the broker may send no PUBACK while some are awaited, before the connection is given up.",
        right="seconds above 0, such as 10",
        gt=0,
        le=3600,
    )
    mqtt_patience_seconds: float = setting(
        10.0,
        about="How long a batch tries to reach the broker again, before its messages are given back; "
        "together with FMQ_MQTT_ACK_SECONDS keep it below FMQ_HANDLER_TIMEOUT.",
        right="seconds, 0 or more, such as 10",
        ge=0,
        le=3600,
    )
    mqtt_keepalive_seconds: int = setting(
        60,
        about="How long a silent connection is trusted before it is tested.",
        right="seconds from 1 to 65535, such as 60",
        ge=1,
        le=65_535,
    )
    mqtt_tls_ca_file: Path | None = setting(
        None, about="The CA that signed that broker's certificate (PEM); by default the system's.", right="a PEM file"
    )
    mqtt_tls_cert_file: Path | None = setting(
        None, about="The client's own certificate (PEM).", right="a PEM file, with its key in FMQ_MQTT_TLS_KEY_FILE"
    )
    mqtt_tls_key_file: Path | None = setting(
        None,
        about="The key of that certificate (PEM, not encrypted).",
        right="a PEM file beside FMQ_MQTT_TLS_CERT_FILE",
    )

    @field_validator("mqtt_url")
    @classmethod
    def _url_is_a_broker(cls, url: str) -> str:
        parse_url(url)
        return url

    @field_validator("mqtt_topic")
    @classmethod
    def _topic_can_be_made(cls, text: str) -> str:
        Template(text)
        return text

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.mqtt_tls_cert_file is None) != (self.mqtt_tls_key_file is None):
            raise ValueError("FMQ_MQTT_TLS_CERT_FILE and FMQ_MQTT_TLS_KEY_FILE belong together: set both or neither")
        if not self.broker.tls and (self.mqtt_tls_ca_file or self.mqtt_tls_cert_file):
            raise ValueError(
                "FMQ_MQTT_TLS_… files are of no use with an unencrypted FMQ_MQTT_URL: it would start with mqtts:// or wss://"
            )
        if self.password is not None and self.username is None:
            raise ValueError("FMQ_MQTT_PASSWORD needs a user name: set FMQ_MQTT_USERNAME too")
        return self

    def misfits(self, *, calls: int, seconds: float) -> Sequence[str]:  # noqa: ARG002 - each call has a connection
        if not seconds or self.mqtt_patience_seconds + self.mqtt_ack_seconds < seconds:
            return ()
        problem = (
            f"FMQ_MQTT_PATIENCE_SECONDS={self.mqtt_patience_seconds:g} and FMQ_MQTT_ACK_SECONDS={self.mqtt_ack_seconds:g} "
            f"together reach FMQ_HANDLER_TIMEOUT={seconds:g}, which would cut calls off; they would be less"
        )
        return (problem,)

    @property
    def broker(self) -> BrokerUrl:
        return parse_url(self.mqtt_url)

    @property
    def username(self) -> str | None:
        return self.mqtt_username or self.broker.username

    @property
    def password(self) -> str | None:
        if self.mqtt_password is not None:
            return self.mqtt_password.get_secret_value()
        return self.broker.password
