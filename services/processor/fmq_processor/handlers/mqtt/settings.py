"""Settings of the handler ``mqtt``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import field_validator, model_validator

from fmq.quantities import show
from fmq.service.broker import fields
from fmq.service.broker.url import (
    Access,
    BrokerUrl,
    Password,
    Query,
    UserName,
    WebSocketHeaders,
    make_access,
    parse_url,
)
from fmq.service.settings import HandlerSettings, setting
from fmq.service.tls import require_pair
from fmq_processor.handlers.mqtt.template import Template

TLS = "FMQ_MQTT_TLS"
"""Starts the variables of TLS."""
_BROKER = "target broker"


class MqttSettings(HandlerSettings):
    """The settings of ``fmq process --handler mqtt``."""

    mqtt_url: str = fields.url(..., broker=_BROKER)
    mqtt_topic: str = setting(
        "{topic}",
        about="Topic to publish on. {topic} is the message's topic, {1}, {2}… are its levels, {queue} is the topic filter of its queue.",
        expected="a topic, such as site-7/{topic} or alerts/{2}",
    )
    mqtt_username: UserName = fields.username(_BROKER)
    mqtt_password: Password = fields.password(_BROKER)
    mqtt_query: Query = fields.query()
    mqtt_headers: WebSocketHeaders = fields.headers()
    mqtt_protocol: Literal["5", "3.1.1"] = setting(
        "5",
        about="MQTT version to use. With 3.1.1, properties are not passed on, and the broker can't report a rejected message.",
        expected="5 or 3.1.1",
    )
    mqtt_client_id: str | None = setting(
        None,
        about="Client id at the target broker, for one processor. Further connections (FMQ_CONCURRENCY) append -2, -3… "
        "Default: a new id for each connection.",
        expected="a short name, different for each processor, such as fmq-forward-1",
        min_length=1,
        max_length=256,
        pattern=r"^[^\x00+#/]+$",
    )
    mqtt_retain: Literal["keep", "never"] = setting(
        "never",
        about="Retain flag of forwarded messages: keep it as it came, or never set it.",
        expected="keep or never",
    )
    mqtt_loops: bool = setting(
        False,
        about="Forward messages even if they come back into their queue. By default a user property marks them, "
        "and one that comes back becomes a dead letter.",
        expected="true or false",
    )
    mqtt_inflight: int = setting(
        1_000,
        about="Maximum number of messages without a PUBACK per connection. The broker may allow fewer.",
        expected="a whole number from 1 to 65535, such as 1000",
        ge=1,
        le=65_535,
    )
    mqtt_ack_seconds: float = setting(
        10.0,
        about="Time without an expected PUBACK after which the connection is closed.",
        unit="seconds",
        expected="a time above 0, such as 10s",
        gt=0,
        le=3600,
    )
    mqtt_patience_seconds: float = setting(
        10.0,
        about="Time for which a batch retries while the broker is down, before its messages are given back. "
        "Keep the sum with FMQ_MQTT_ACK_SECONDS below FMQ_HANDLER_TIMEOUT.",
        unit="seconds",
        expected="a time, 0 or more, such as 10s",
        ge=0,
        le=3600,
    )
    mqtt_keepalive_seconds: int = setting(
        60,
        about="MQTT keep-alive: how long a silent connection is trusted.",
        unit="seconds",
        expected="a time from 1s to 65535s, such as 1m",
        ge=1,
        le=65_535,
    )
    mqtt_tls_ca_file: Path | None = fields.ca_file(_BROKER)
    mqtt_tls_cert_file: Path | None = fields.cert_file(TLS)
    mqtt_tls_key_file: Path | None = fields.key_file(TLS)
    mqtt_tls_server_name: str | None = fields.server_name()
    mqtt_tls_alpn: fields.Protocols = fields.protocols()

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
        require_pair(TLS, cert_file=self.mqtt_tls_cert_file, key_file=self.mqtt_tls_key_file)
        fields.require_consistent(
            "FMQ_MQTT",
            self.broker,
            self.access,
            tls=TLS,
            has_tls=any(
                (self.mqtt_tls_ca_file, self.mqtt_tls_cert_file, self.mqtt_tls_server_name, self.mqtt_tls_alpn)
            ),
            has_headers=self.mqtt_headers is not None,
        )
        return self

    def misfits(self, *, calls: int, seconds: float) -> Sequence[str]:  # noqa: ARG002 - each call has a connection
        if not seconds or self.mqtt_patience_seconds + self.mqtt_ack_seconds < seconds:
            return ()
        problem = (
            f"FMQ_MQTT_PATIENCE_SECONDS={show(self.mqtt_patience_seconds, 'seconds')} and FMQ_MQTT_ACK_SECONDS={show(self.mqtt_ack_seconds, 'seconds')} "
            f"reach FMQ_HANDLER_TIMEOUT={show(seconds, 'seconds')} together, which cuts calls off: expected a smaller sum"
        )
        return (problem,)

    @property
    def broker(self) -> BrokerUrl:
        return parse_url(self.mqtt_url)

    @property
    def access(self) -> Access:
        """What a connection shows the broker, with the secrets of this moment."""
        return make_access(
            self.broker,
            username=self.username,
            password=self.password,
            query=self.mqtt_query,
            headers=self.mqtt_headers,
            server_name=self.mqtt_tls_server_name,
        )

    @property
    def username(self) -> str | None:
        return self.mqtt_username or self.broker.username

    @property
    def password(self) -> str | None:
        if self.mqtt_password is not None:
            return self.mqtt_password.get_secret_value()
        return self.broker.password
