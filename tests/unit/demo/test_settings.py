"""What the demo is told of a broker, and what it makes of it."""

from pathlib import Path

import pytest

from fmq.errors import SettingsError
from fmq.settings import load
from fmq_demo.broker import Kind, mosquitto_config, provide_broker
from fmq_demo.client import BrokerUnreachable
from fmq_demo.meter import retries
from fmq_demo.processes import Crew
from fmq_demo.settings import Address, DemoSettings


@pytest.mark.parametrize(
    ("url", "shown", "tls", "websocket"),
    [
        ("mqtt://host", "mqtt://host:1883", False, False),
        ("mqtt://me:secret@host:1884", "mqtt://host:1884", False, False),
        ("mqtts://host", "mqtts://host:8883", True, False),
        ("ws://host", "ws://host:80/mqtt", False, True),
        ("wss://[::1]/path", "wss://[::1]:443/path", True, True),
    ],
)
def test_an_address_shows_no_secrets(url: str, shown: str, tls: bool, websocket: bool) -> None:  # noqa: FBT001
    """Its parts are those of the URL."""
    address = Address(url)
    assert (str(address), address.tls, address.websocket) == (shown, tls, websocket)


def test_user_and_password_are_decoded() -> None:
    """A URL writes @ and : in them with percent signs."""
    address = Address("mqtt://me%40home:a%3Ab@host")
    assert (address.username, address.password) == ("me@home", "a:b")


@pytest.mark.parametrize("url", ["http://host", "mqtt://", "mqtt://host:0", "mqtt://host:x", "host"])
def test_what_is_no_address_is_told(url: str) -> None:
    """With the variable's name and what would be right."""
    with pytest.raises(SettingsError, match=r"FMQ_BROKER_URL=.*it would be mqtt://"):
        load(DemoSettings, {}, {"FMQ_BROKER_URL": url})


def test_a_key_needs_its_certificate() -> None:
    """One without the other is a mistake."""
    with pytest.raises(SettingsError, match="belong together"):
        load(DemoSettings, {"tls_key_file": "key.pem"}, {})
    with pytest.raises(SettingsError, match="belong together"):
        load(DemoSettings, {"tls_cert_file": "cert.pem"}, {})


def test_a_given_broker_has_to_answer(tmp_path: Path) -> None:
    """Otherwise the listener would try to reach it for ever; no process is started."""
    settings = load(DemoSettings, {}, {"FMQ_BROKER_URL": "mqtt://127.0.0.1:1"})
    with pytest.raises(BrokerUnreachable, match=r"mqtt://127\.0\.0\.1:1 can't be reached: Connection refused"):
        provide_broker(Kind.AUTO, settings, Crew(tmp_path), tmp_path, stop=lambda: False)


def test_a_given_broker_has_to_be_given(tmp_path: Path) -> None:
    """--broker given without an address says what is missing."""
    with pytest.raises(SettingsError, match="FMQ_BROKER_URL"):
        provide_broker(Kind.GIVEN, DemoSettings(), Crew(tmp_path), tmp_path, stop=lambda: False)


def test_mosquitto_is_for_this_machine_alone(tmp_path: Path) -> None:
    """It listens on the loopback interface, and queues more than its default for a listener that is away."""
    lines = mosquitto_config(1234, tmp_path).split("\n")
    assert "listener 1234 127.0.0.1" in lines
    assert "max_queued_messages 1000000" in lines


def test_retries_are_read_from_the_metrics() -> None:
    """By queue; other series do not count."""
    text = (
        "# TYPE fmq_retries_total counter\n"
        'fmq_retries_total{queue="a/+"} 3.0\nfmq_retries_total{queue="b"} 0.0\n'
        "# TYPE fmq_failures_total counter\n"
        'fmq_failures_total{queue="a/+"} 9.0\n'
    )
    assert retries(text) == {"a/+": 3, "b": 0}
