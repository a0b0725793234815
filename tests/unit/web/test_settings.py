"""The settings of `fmq web`."""

import pytest

from fmq.errors import SettingsError
from fmq.service.environment import load
from fmq_web.settings import WebSettings, is_loopback


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FMQ_WEB_PASSWORD", "short"),
        ("FMQ_WEB_PORT", "70000"),
        ("FMQ_WEB_PROXY_ROLE", "admin"),
        ("FMQ_WEB_HOSTS", "https://fmq.example.com"),
        ("FMQ_WEB_HOSTS", "fmq.example.com:443"),
        ("FMQ_WEB_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("FMQ_WEB_TRUSTED_PROXIES", "proxy.example.com"),
        ("FMQ_WEB_TRUSTED_PROXIES", "10.0.0.1/24"),
    ],
)
def test_invalid_ones_are_named(name: str, value: str) -> None:
    """And a secret is not shown."""
    with pytest.raises(SettingsError, match=name) as caught:
        load(WebSettings, {}, {name: value})
    assert "expected" in str(caught.value)
    assert "short" not in str(caught.value)


def test_it_has_no_settings_of_moving_messages() -> None:
    """Topics and tracing mean nothing to it."""
    assert not {"topics", "tracing"} & WebSettings.model_fields.keys()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("[::1]", True),
        ("LocalHost.", True),
        ("0.0.0.0", False),  # noqa: S104 - not bound
        ("::", False),
        ("localhost.evil.com", False),
        ("", False),
        ("1", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:  # noqa: FBT001 - a table
    """Only what is surely this machine."""
    assert is_loopback(host) is loopback
