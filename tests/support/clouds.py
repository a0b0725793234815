"""What four clouds demand of a client, from their documents, which docs/brokers/*.md name."""

from collections.abc import Mapping
from dataclasses import replace

from support.cloud import HOST, Demands

TOKEN = "token-of-the-device"  # noqa: S105 - no secret of anybody's
SIGNATURE = "c2lnbmF0dXJl"
QUERY = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-SignedHeaders=host&X-Amz-Signature={SIGNATURE}"
AUTHORIZER = f"x-amz-customauthorizer-name=mine&x-amz-customauthorizer-signature={SIGNATURE}&token={TOKEN}"


def _number(kind: int, value: int, size: int) -> bytes:
    return bytes([kind]) + value.to_bytes(size, "big")


def _connack(
    *,
    qos: int | None = None,
    packet: int | None = None,
    keepalive: int | None = None,
    expiry: int | None = None,
    receive: int | None = None,
    identifiers: int | None = None,
    shared: int | None = None,
    retain: int | None = None,
) -> bytes:
    """Properties of a CONNACK (MQTT 5, section 3.2.2.3)."""
    kinds = (
        (0x24, qos, 1),
        (0x27, packet, 4),
        (0x13, keepalive, 2),
        (0x11, expiry, 4),
        (0x21, receive, 2),
        (0x29, identifiers, 1),
        (0x2A, shared, 1),
        (0x25, retain, 1),
    )
    return b"".join(_number(kind, value, size) for kind, value, size in kinds if value is not None)


_AWS = Demands(
    client_id=128,
    filters_per_packet=8,
    filters=50,
    slashes=7,
    topic=256,
    packet=128 * 1024,
    connack=_connack(qos=1, packet=128 * 1024, keepalive=1_200, expiry=3_600, receive=100, identifiers=0),
)
AWS_CERTIFICATE = replace(_AWS, alpn="x-amzn-mqtt-ca", certificate=True)
AWS_AUTHORIZER = replace(_AWS, alpn="mqtt", login=lambda user, _: user == f"device?{AUTHORIZER}")


def _is_presigned(target: str, headers: Mapping[str, str]) -> bool:
    if headers["host"].partition(":")[0] != HOST:
        return False  # the signature covers this header
    return target == f"/mqtt?{QUERY}" and headers["sec-websocket-protocol"] == "mqtt"


def _has_token(target: str, headers: Mapping[str, str]) -> bool:
    return target == "/mqtt" and headers.get("token") == TOKEN and headers.get("x-amz-customauthorizer-name") == "mine"


AWS_PRESIGNED = replace(_AWS, upgrade=_is_presigned)
AWS_HEADERS = replace(_AWS, upgrade=_has_token)
HIVEMQ = Demands(
    login=lambda user, password: (user, password) == ("fmq", "secret"),
    connack=_connack(receive=10, packet=5 * 1024 * 1024, expiry=259_200),
    packet=5 * 1024 * 1024,
)
EMQX_SERVERLESS = Demands(
    login=lambda user, password: (user, password) == ("fmq", "secret"),
    client_id=23,
    filters=10,
    slashes=9,
    packet=1024 * 1024,
    connack=_connack(receive=32, packet=1024 * 1024, expiry=7_200),
)
AZURE = Demands(
    certificate=True,
    login=lambda user, _: user == "fmq-device",
    identifiers=False,
    slashes=7,
    topic=256,
    retain=False,
    packet=512 * 1024,
    connack=_connack(qos=1, packet=512 * 1024, keepalive=1_160, expiry=3_600, identifiers=0, shared=0, retain=0),
)
