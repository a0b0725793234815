"""The broker's URL."""

import pytest

from fmq.service.broker.url import BrokerUrl, parse_url


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "path"),
    [
        ("mqtt://localhost", "mqtt", "localhost", 1883, ""),
        ("mqtt://10.0.0.1:2883/", "mqtt", "10.0.0.1", 2883, ""),
        ("mqtts://broker.example", "mqtts", "broker.example", 8883, ""),
        ("ws://broker/", "ws", "broker", 80, "/"),
        ("ws://broker:9001/a/b", "ws", "broker", 9001, "/a/b"),
        ("wss://broker", "wss", "broker", 443, "/mqtt"),
        ("mqtt://[::1]:1883", "mqtt", "::1", 1883, ""),
    ],
)
def test_its_parts_and_defaults(url: str, scheme: str, host: str, port: int, path: str) -> None:
    """Each scheme has its usual port, and only WebSocket has a path."""
    found = parse_url(url)
    assert (found.scheme, found.host, found.port, found.path) == (scheme, host, port, path)
    assert found.tls == (scheme in ("mqtts", "wss"))
    assert found.websocket == (scheme in ("ws", "wss"))


def test_user_and_password_are_read_and_never_shown() -> None:
    """They may hold any character, percent-encoded; neither str nor repr gives the password away."""
    found = parse_url("mqtt://us%40er:p%2Fss%3A@host")
    assert (found.username, found.password) == ("us@er", "p/ss:")
    assert "p/ss" not in repr(found)
    assert str(found) == "mqtt://host:1883"


def test_an_ipv6_address_is_shown_as_it_is_written() -> None:
    """With its brackets."""
    assert str(BrokerUrl("mqtt", "::1", 1883)) == "mqtt://[::1]:1883"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("localhost:1883", r"has no scheme \(did you mean mqtt://localhost:1883\?\)"),
        ("ann:secret@localhost:1883", "must start with one of"),
        ("http://host", "must start with one of"),
        ("mqtt://", "no host"),
        ("mqtt://host:port", "is invalid"),
        ("mqtt://host:99999", "is invalid"),
        ("mqtt://host:0", "0 is not a port"),
        ("mqtt://host/topic", "unexpected text"),
        ("mqtts://host?x=1", "unexpected text"),
        ("ws://host/mqtt?x=1#y", "unexpected text"),
        ("wss://host/mqtt?x=ü", "printable ASCII"),
        ("mqtt://[::1", "is invalid"),
        ("wss://host/a b", "its path has a space"),
        ("ws://host/a\r\nX: y", "its path has a space"),
        ("ws://host/ü", "its path has a space or a character that is not ASCII"),
        ("mqtt://a%00b@host", "null character"),
        ("", "must start with one of"),
        ("mqtt://ann:" + "%C3%BC" * 32_768 + "@host", "longer than the 65535 bytes"),
        ("mqtt://ann:%00" + "u" * 65_535 + "@host", "longer than the 65535 bytes"),
    ],
)
def test_a_wrong_url_is_refused_with_the_reason(url: str, why: str) -> None:
    """The reason is in words."""
    with pytest.raises(ValueError, match=why):
        parse_url(url)
