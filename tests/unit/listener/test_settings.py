"""A listener's settings: defaults, and errors that say what would be right."""

from pathlib import Path

import pytest

from fmq.errors import SettingsError
from fmq.service.broker.settings import tls_context
from fmq.service.environment import load
from fmq_listener.mqtt.connection import make_listening_client
from fmq_listener.settings import ListenerSettings


def _settings(**environ: str) -> ListenerSettings:
    return load(ListenerSettings, {}, {"FMQ_TOPICS": "dstdb"} | environ)


def _error(**environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        _settings(**environ)
    return str(caught.value)


def test_topics_are_all_that_must_be_given() -> None:
    """Everything else has a default that works with a broker on this machine."""
    settings = _settings()
    assert str(settings.broker) == "mqtt://127.0.0.1:1883"
    assert settings.session_expiry_seconds >= 7 * 24 * 3600
    assert settings.retention.done_seconds == 86_400
    assert settings.retention.dead_seconds is None


def test_no_topic_is_an_error() -> None:
    """A listener of nothing is reported so."""
    with pytest.raises(SettingsError, match="no topic filter is given"):
        load(ListenerSettings, {}, {})


def test_all_wrong_settings_are_told_together() -> None:
    """With name, value and what would be right."""
    text = _error(FMQ_TOPICS="a/#/b", FMQ_BROKER_URL="http://x", FMQ_INFLIGHT="0", FMQ_MQTT_VERSION="4")
    for part in ("FMQ_TOPICS", "# before its last level", "FMQ_BROKER_URL='http://x'", "mqtts://", "FMQ_INFLIGHT='0'"):
        assert part in text
    assert "5 or 3.1.1" in text


@pytest.mark.parametrize("url", ["mqtt://user:hunter2@host:port", "http://user:hunter2@host", "mqtt://u:hunter2@h/x"])
def test_a_password_in_a_wrong_url_is_not_shown(url: str) -> None:
    """Error messages end in logs."""
    text = _error(FMQ_BROKER_URL=url)
    assert "FMQ_BROKER_URL" in text
    assert "hunter2" not in text


def test_user_and_password_come_from_settings_before_the_url() -> None:
    """A secret from a file can replace what stands in a URL."""
    url = "mqtt://inside:old@host"
    assert (_settings(FMQ_BROKER_URL=url).username, _settings(FMQ_BROKER_URL=url).password) == ("inside", "old")
    settings = _settings(FMQ_BROKER_URL=url, FMQ_BROKER_USERNAME="outside", FMQ_BROKER_PASSWORD="new")  # noqa: S106
    assert (settings.username, settings.password) == ("outside", "new")
    assert "new" not in repr(settings)


def test_the_password_can_be_in_a_file(tmp_path: Path) -> None:
    """As orchestrators hand it over, with a line's end that does not belong to it."""
    (tmp_path / "password").write_text("s3cret\n", encoding="utf-8")
    settings = _settings(FMQ_BROKER_USERNAME="u", FMQ_BROKER_PASSWORD_FILE=str(tmp_path / "password"))
    assert settings.password == "s3cret"  # noqa: S105


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"FMQ_BROKER_PASSWORD": "x"}, "needs a user name"),
        ({"FMQ_BROKER_URL": "mqtts://h", "FMQ_TLS_CERT_FILE": "c.pem"}, "belong together"),
        ({"FMQ_BROKER_URL": "mqtts://h", "FMQ_TLS_KEY_FILE": "k.pem"}, "belong together"),
        ({"FMQ_TLS_CA_FILE": "ca.pem"}, "need an encrypted connection"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(environ: dict[str, str], why: str) -> None:
    """Cross-checks name both sides."""
    assert why in _error(**environ)


@pytest.mark.parametrize(("value", "seconds"), [("0", 0.0), ("60", 60.0), ("forever", None)])
def test_retention_is_seconds_or_forever(value: str, seconds: float | None) -> None:
    """0 deletes as soon as possible."""
    settings = _settings(FMQ_RETENTION_SECONDS=value, FMQ_DEAD_RETENTION_SECONDS=value)
    assert settings.retention.done_seconds == settings.retention.dead_seconds == seconds


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "never"])
def test_another_retention_is_refused(value: str) -> None:
    """The message shows both forms."""
    assert "or forever" in _error(FMQ_RETENTION_SECONDS=value)


@pytest.mark.parametrize("name", ["FMQ_TLS_CA_FILE", "FMQ_TLS_CERT_FILE"])
@pytest.mark.parametrize("content", [None, "", "no PEM at all"])
def test_a_tls_file_that_cannot_be_used_is_told(tmp_path: Path, name: str, content: str | None) -> None:
    """Missing or not PEM: a settings error that names the variable and the file."""
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    environ = {"FMQ_BROKER_URL": "mqtts://host", name: str(path)}
    if name == "FMQ_TLS_CERT_FILE":
        environ["FMQ_TLS_KEY_FILE"] = str(path)
    with pytest.raises(SettingsError, match=f"{name}=.*file.pem"):
        tls_context(_settings(**environ))


def test_tls_always_verifies() -> None:
    """Certificate and host name; no setting turns it off."""
    context = tls_context(_settings(FMQ_BROKER_URL="mqtts://host"))
    assert context.check_hostname
    assert context.verify_mode.name == "CERT_REQUIRED"


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_the_client_acknowledges_nothing_by_itself(version: str) -> None:
    """An automatic PUBACK of paho's would come before the commit."""
    assert make_listening_client(_settings(FMQ_MQTT_VERSION=version), "id")._manual_ack
