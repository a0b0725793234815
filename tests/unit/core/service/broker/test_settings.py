"""The settings of a connection to the broker."""

import pytest

from fmq.errors import SettingsError
from fmq.service.broker.settings import BrokerSettings
from fmq.service.environment import Reading, load
from fmq.service.inventory import Section, effective
from fmq_listener.settings import ListenerSettings


@pytest.mark.parametrize("name", ["broker_username", "broker_password"])
def test_what_connect_cannot_hold_is_refused_without_being_shown(name: str) -> None:
    """A user name or password has at most 65,535 bytes of UTF-8 (MQTT 5, sections 1.5.4 and 1.5.6)."""
    for text, why in (("\xfc" * 32_768, "longer than the 65535 bytes"), ("\udcff", "not UTF-8|unicode string")):
        with pytest.raises(ValueError, match=why) as refused:
            BrokerSettings.model_validate({"broker_username": "ann", name: text})
        assert name == "broker_username" or text[0] * 3 not in str(refused.value)
    BrokerSettings.model_validate({"broker_username": "ann", name: "\xfc" * 32_767})


def test_a_query_belongs_to_the_path_or_follows_the_user_name() -> None:
    """A WebSocket has it behind its path, anything else behind the user name; the setting wins over the URL's."""
    chosen = {"broker_url": "wss://host/mqtt?a=1", "broker_headers": '{"Host": "h", "X-Token": "t"}'}
    settings = BrokerSettings.model_validate(chosen)
    assert settings.access_to(settings.broker) == (None, None, "/mqtt?a=1", (("host", "h"), ("x-token", "t")))
    named = BrokerSettings.model_validate({"broker_url": "wss://10.0.0.1", "tls_server_name": "h"})
    assert named.access_to(named.broker).headers == (("host", "h"),)
    settings = BrokerSettings.model_validate(chosen | {"broker_query": "?b=2"})
    assert settings.access_to(settings.broker).target == "/mqtt?b=2"
    settings = BrokerSettings.model_validate({"broker_url": "mqtts://ann:p@host", "broker_query": "b=2"})
    assert settings.access_to(settings.broker) == ("ann?b=2", "p", "", ())
    settings = BrokerSettings.model_validate({"broker_url": "mqtts://host", "broker_query": "b=2"})
    assert settings.access_to(settings.broker).username == "?b=2"
    settings = BrokerSettings.model_validate({"broker_url": "mqtts://host"})
    assert settings.access_to(settings.broker) == (None, None, "", ())


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"FMQ_BROKER_QUERY": "a b"}, "FMQ_BROKER_QUERY=(hidden): a query has only printable ASCII characters"),
        ({"FMQ_BROKER_HEADERS": "{"}, "FMQ_BROKER_HEADERS=(hidden): it is not JSON"),
        ({"FMQ_BROKER_HEADERS": '{"Upgrade": "x"}'}, "fmq itself sets the header Upgrade"),
        ({"FMQ_BROKER_HEADERS": '{"X": "a\\r\\nY: b"}'}, "the value of the header X is not printable ASCII"),
        ({"FMQ_BROKER_HEADERS": '{"X": "secret"}'}, "FMQ_BROKER_HEADERS needs a WebSocket"),
        ({"FMQ_TLS_ALPN": "a", "FMQ_BROKER_URL": "mqtt://h"}, "FMQ_TLS_… settings need an encrypted connection"),
        ({"FMQ_TLS_ALPN": "ü"}, "'ü' is not the name of a protocol"),
        ({"FMQ_TLS_SERVER_NAME": "a b"}, "FMQ_TLS_SERVER_NAME='a b': expected a host name"),
        ({"FMQ_BROKER_URL": "wss://h/m?Sig=secret#x"}, "FMQ_BROKER_URL='wss://h/m?(hidden)'"),
        ({"FMQ_BROKER_URL": "mqtts://h?Sig=secret"}, "FMQ_BROKER_URL='mqtts://h?(hidden)': unexpected text"),
        ({"FMQ_BROKER_URL": "mqtts://u?Sig=secret@h"}, "(hidden)@h': unexpected text"),
        ({"FMQ_BROKER_URL": "https://h/mqtt?Sig=secret"}, "FMQ_BROKER_URL='https://h/mqtt?(hidden)'"),
        ({"FMQ_BROKER_URL": "h/mqtt?Sig=secret"}, "FMQ_BROKER_URL='h/mqtt?(hidden)': it must start with one of"),
        ({"FMQ_BROKER_URL": "wss:/h?Sig=secret"}, "FMQ_BROKER_URL='wss:/h?(hidden)': it has no host"),
        ({"FMQ_BROKER_USERNAME": "a\0b"}, "it has a null character"),
        ({"FMQ_BROKER_URL": "mqtts://u%3fSig=secret@h/x"}, "FMQ_BROKER_URL='mqtts://u%3f(hidden)@h/x'"),
        ({"FMQ_BROKER_USERNAME": "u?Sig=secret" + 70_000 * "x"}, "FMQ_BROKER_USERNAME='u?(hidden)'"),
    ],
)
def test_what_cannot_be_sent_is_refused_and_no_secret_is_shown(environ: dict[str, str], why: str) -> None:
    """Each error names the setting and what is wrong."""
    given = {"FMQ_CONFIG": "/dev/null", "FMQ_BROKER_URL": "mqtts://host"} | environ
    with pytest.raises(SettingsError) as refused:
        load(BrokerSettings, {}, given)
    assert why in str(refused.value)
    assert "secret" not in str(refused.value)


def test_the_configuration_shows_no_query() -> None:
    """Nor does it with a URL, a user name, or a secret of its own."""
    environ = {
        "FMQ_BROKER_URL": "wss://h/m?Sig=secret",
        "FMQ_BROKER_USERNAME": "u?Sig=secret",
        "FMQ_BROKER_QUERY": "Sig=secret",
    }
    reading = Reading({}, {"FMQ_CONFIG": "/dev/null", **environ})
    section = Section("listener", (ListenerSettings,))
    shown = {one.name: one.value for one in effective(section, reading)}
    assert shown["broker_url"] == "wss://h/m?(hidden)"
    assert shown["broker_username"] == "u?(hidden)"
    assert shown["broker_query"] == "(hidden)"
