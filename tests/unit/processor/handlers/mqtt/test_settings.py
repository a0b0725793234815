"""The handler's settings that make up a connection to the target broker."""

import pytest

from fmq.errors import SettingsError
from fmq.service.environment import load
from fmq_processor.handlers.mqtt.settings import MqttSettings


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"FMQ_MQTT_PASSWORD": "secret"}, "FMQ_MQTT_PASSWORD needs a user name: set FMQ_MQTT_USERNAME too"),
        ({"FMQ_MQTT_TLS_KEY_FILE": "k.pem"}, "FMQ_MQTT_TLS_CERT_FILE and FMQ_MQTT_TLS_KEY_FILE belong together"),
        (
            {"FMQ_MQTT_URL": "ws://h", "FMQ_MQTT_TLS_CA_FILE": "ca.pem"},
            "FMQ_MQTT_TLS_… settings need an encrypted connection: expected an FMQ_MQTT_URL that starts with mqtts://",
        ),
        ({"FMQ_MQTT_HEADERS": '{"X": "secret"}'}, "FMQ_MQTT_HEADERS needs a WebSocket: expected an FMQ_MQTT_URL that"),
        ({"FMQ_MQTT_USERNAME": "a\0b"}, "it has a null character"),
        ({"FMQ_MQTT_USERNAME": "a", "FMQ_MQTT_PASSWORD": "secret" * 11_000}, "longer than the 65535 bytes"),
    ],
)
def test_what_makes_no_connection_is_refused_at_the_start(environ: dict[str, str], why: str) -> None:
    """As with the settings of a service's own broker: each error names the variables, and shows no secret."""
    given = {"FMQ_CONFIG": "/dev/null", "FMQ_MQTT_URL": "mqtts://host"} | environ
    with pytest.raises(SettingsError) as refused:
        load(MqttSettings, {}, given)
    assert why in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_query_takes_the_place_of_a_user_name() -> None:
    """A password may follow it: AWS IoT Core reads the parameters of a custom authorizer there."""
    settings = MqttSettings.model_validate({"mqtt_url": "mqtts://host", "mqtt_query": "b=2", "mqtt_password": "p"})
    assert settings.access == ("?b=2", "p", "", ())
