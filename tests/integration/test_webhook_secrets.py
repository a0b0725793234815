"""The handler ``webhook`` and secrets that are replaced while it runs."""

from pathlib import Path

import pytest

from fmq.outcome import Retry, Unavailable
from fmq.service.environment import load
from fmq_processor.handlers.webhook.settings import WebhookSettings, parse_secrets
from fmq_processor.handlers.webhook.signature import sign
from support.target import Connection, Request, Target
from support.webhook import always, deliver, kind_and_reason, make_handler, message

FIRST, SECOND = (f"whsec_{letter * 40}" for letter in "AB")


@pytest.mark.parametrize(("status", "kind"), [("401 Unauthorized", Unavailable), ("403 Forbidden", Retry)])
def test_a_rotated_bearer_token(tmp_path: Path, status: str, kind: type) -> None:
    """A refused token costs no message its life, and the token of the moment goes with each request."""
    file = tmp_path / "headers"
    tokens = ["first"]

    async def respond(request: Request, connection: Connection) -> None:
        right = request.headers.get("authorization") == f"Bearer {tokens[-1]}"
        await connection.answer("200 OK" if right else status)

    file.write_text('{"Authorization": "Bearer first"}\n')
    with Target(respond) as target:
        handler = make_handler(target.url, secret_headers_file=file)
        assert deliver(handler, message()) == [None]
        tokens.append("second")
        assert kind_and_reason(deliver(handler, message())[0])[0] is kind
        file.write_text('{"Authorization": "Bearer second"}\n')
        assert deliver(handler, message()) == [None]
        file.write_text("Bearer third\n")
        assert deliver(handler, message()) == [None]


def test_a_rotated_signing_secret(tmp_path: Path) -> None:
    """Each request is signed with the secrets of the moment."""
    file = tmp_path / "secrets"
    file.write_text(FIRST)
    with Target() as target:
        handler = make_handler(target.url, secrets_file=file)
        assert deliver(handler, message()) == [None]
        file.write_text(f"{SECOND} {FIRST}\n")
        assert deliver(handler, message()) == [None]
    for request, secrets in zip(target.requests, (FIRST, f"{SECOND} {FIRST}"), strict=True):
        expected = sign(
            parse_secrets(secrets),
            identity=request.headers["webhook-id"],
            timestamp=int(request.headers["webhook-timestamp"]),
            body=request.body,
        )
        assert request.headers["webhook-signature"] == expected


def test_a_403_may_be_a_secret_that_is_replaced() -> None:
    """So it is tried again where the requests have one; else it is the message that is refused."""
    with Target(always("403 Forbidden")) as target:
        (secret,) = deliver(make_handler(target.url, secrets=FIRST), message())
        (header,) = deliver(make_handler(target.url, secret_headers='{"x-key": "1"}'), message())  # noqa: S106 - an example
    assert isinstance(secret, Retry)
    assert isinstance(header, Retry)
    assert not load(WebhookSettings, {"webhook_url": target.url}, {}).known
