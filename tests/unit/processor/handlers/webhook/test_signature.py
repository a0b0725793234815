"""Signatures, checked by the package of the Standard Webhooks project."""

import base64
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from fmq_processor.handlers.webhook.settings import parse_secrets
from fmq_processor.handlers.webhook.signature import sign, webhook_id

OLD, NEW = (f"whsec_{base64.b64encode(bytes([number]) * 24).decode()}" for number in (1, 2))


def headers(secrets: str, body: bytes, *, unique: UUID | None = None) -> dict[str, str]:
    identity, now = webhook_id(unique or uuid4()), int(datetime.now(UTC).timestamp())
    signature = sign(parse_secrets(secrets), identity=identity, timestamp=now, body=body)
    return {"webhook-id": identity, "webhook-timestamp": str(now), "webhook-signature": signature}


@given(st.text(), st.binary(min_size=24, max_size=64))
def test_the_reference_accepts_it(text: str, key: bytes) -> None:
    """Whatever the text and the key. (The reference takes no bytes that are not UTF-8.)"""
    secret, body = f"whsec_{base64.b64encode(key).decode()}", text.encode()
    Webhook(secret).verify(body, headers(secret, body), json_parse=False)


def test_the_old_and_the_new_secret_both_verify() -> None:
    """While secrets are changed; a stranger's does not, nor does another body."""
    signed = headers(f"{NEW} {OLD}", b"21.5")
    assert [part.partition(",")[0] for part in signed["webhook-signature"].split()] == ["v1", "v1"]
    for secret in (NEW, OLD):
        Webhook(secret).verify(b"21.5", signed, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(b"21.6", signed, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(f"whsec_{base64.b64encode(bytes(24)).decode()}").verify(b"21.5", signed, json_parse=False)


def test_bytes_are_signed_as_they_are() -> None:
    """The example of the specification: HMAC-SHA256 over id, timestamp and body, with dots between."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    got = sign([key], identity="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=b'{"test": 2432232314}')
    assert got == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_an_id_has_no_dot() -> None:
    """Since dots part what is signed."""
    assert webhook_id(UUID(int=7)) == "msg_00000000000000000000000000000007"
