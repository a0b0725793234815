"""Settings of the handler ``mqtt``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, SecretStr, field_validator, model_validator

from fmq.quantities import show
from fmq.service.broker_url import Access, BrokerUrl, Query, WebSocketHeaders, make_access, parse_url
from fmq.service.settings import HandlerSettings, Names, setting
from fmq.service.tls import HOST_NAME, require_protocols
from fmq_processor.handlers.mqtt.template import Template


class MqttSettings(HandlerSettings):
    """The settings of ``fmq process --handler mqtt``."""

    mqtt_url: str = setting(
        ...,
        about="URL of the target broker: mqtt:// or mqtts:// (TLS), ws:// or wss:// (WebSocket).",
        expected="mqtt://user@host:1883, mqtts://host, ws://host/path or wss://host/path",
        has_secret_query=True,
    )
    mqtt_topic: str = setting(
        "{topic}",
        about="Topic to publish on. {topic} is the message's topic, {1}, {2}… are its levels, {queue} is the topic filter of its queue.",
        expected="a topic, such as site-7/{topic} or alerts/{2}",
    )
    mqtt_username: str | None = setting(
        None,
        about="User name at the target broker. Takes precedence over one in the URL.",
        expected="a user name",
        min_length=1,
        has_secret_query=True,
    )
    mqtt_password: SecretStr | None = setting(
        None,
        about="Password at the target broker. Takes precedence over one in the URL.",
        expected="a password, together with a user name",
    )
    mqtt_query: Query = setting(
        None,
        about="Query that gives access: after the path of ws:// and wss://, as in a presigned URL, or after the user name "
        "of mqtt:// and mqtts://, as custom authorizers of AWS IoT Core take it. Takes precedence over one in the URL.",
        expected="a query such as name=value&name=value",
    )
    mqtt_headers: WebSocketHeaders = setting(
        None,
        about="Additional headers of the request that opens a WebSocket, such as those of a custom authorizer.",
        expected='a JSON object of strings, such as {"Authorization": "Bearer …"}, with a broker at ws:// or wss://',
    )
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
    mqtt_tls_ca_file: Path | None = setting(
        None,
        about="CA certificates that verify the target broker (PEM). Default: those of the system.",
        expected="a PEM file",
    )
    mqtt_tls_cert_file: Path | None = setting(
        None, about="Client certificate (PEM).", expected="a PEM file, with its key in FMQ_MQTT_TLS_KEY_FILE"
    )
    mqtt_tls_key_file: Path | None = setting(
        None,
        about="Key of the client certificate (PEM, not encrypted).",
        expected="a PEM file, together with FMQ_MQTT_TLS_CERT_FILE",
    )
    mqtt_tls_server_name: str | None = setting(
        None,
        about="Host name that TLS sends to the broker (SNI) and expects in its certificate, and that a WebSocket asks for. Default: the host of the URL.",
        expected="a host name, such as broker.example.com",
        pattern=HOST_NAME,
    )
    mqtt_tls_alpn: Annotated[Names, AfterValidator(require_protocols)] = setting(
        (),
        about="Application protocols that TLS offers to the broker (ALPN), separated by commas. AWS IoT Core on port 443: "
        "x-amzn-mqtt-ca with a client certificate, mqtt with a custom authorizer.",
        expected="names of 1 to 255 printable characters, such as x-amzn-mqtt-ca",
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
        tls = (self.mqtt_tls_ca_file, self.mqtt_tls_cert_file, self.mqtt_tls_server_name, self.mqtt_tls_alpn)
        if not self.broker.tls and any(tls):
            raise ValueError(
                "FMQ_MQTT_TLS_… settings need an encrypted connection: expected an FMQ_MQTT_URL that starts with mqtts:// or wss://"
            )
        if self.mqtt_headers is not None and not self.broker.websocket:
            raise ValueError(
                "FMQ_MQTT_HEADERS needs a WebSocket: expected an FMQ_MQTT_URL that starts with ws:// or wss://"
            )
        if self.password is not None and self.username is None and (self.broker.websocket or not self.mqtt_query):
            raise ValueError("FMQ_MQTT_PASSWORD needs a user name: set FMQ_MQTT_USERNAME too")
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
