"""The handler ``webhook`` and TLS: who is trusted, who shows a certificate."""

import asyncio
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from yarl import URL

from fmq.errors import SettingsError
from fmq.outcome import Reject, Retry, Unavailable
from fmq_processor.handlers.webhook.address import Address
from support.certificates import Certificates
from support.target import Target
from support.tls_server import handshakes
from support.webhook import always, deliver, kind_and_reason, make_handler, message, outcome, result_of


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Iterator[Path]:
    with authority.cert_pem.tempfile(dir=str(tmp_path)) as path:
        yield Path(path)


def test_tls_is_verified(server_tls: ssl.SSLContext, ca_file: Path) -> None:
    """By the CA that the setting names; without it, the target is not trusted and gets nothing."""
    with Target(tls=server_tls) as target:
        assert result_of(target, ca_file=ca_file) is None
        kind, reason = kind_and_reason(result_of(target))
    assert kind is Unavailable
    assert "the TLS certificate of https://127.0.0.1" in reason
    assert len(target.requests) == 1


def test_a_certificate_of_another_host(authority: trustme.CA, ca_file: Path) -> None:
    """Is refused, although its CA is trusted."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("example.com").configure_cert(context)
    with Target(tls=context) as target:
        assert kind_and_reason(result_of(target, ca_file=ca_file))[0] is Unavailable
    assert target.requests == []


def test_a_client_certificate(authority: trustme.CA, server_tls: ssl.SSLContext, ca_file: Path, tmp_path: Path) -> None:
    """Is shown to a target that asks for one."""
    server_tls.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(server_tls)
    own = authority.issue_cert("client.example")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(own.cert_chain_pems[0].bytes())
    key.write_bytes(own.private_key_pem.bytes())
    with Target(tls=server_tls) as target:
        assert result_of(target, ca_file=ca_file, cert_file=cert, key_file=key) is None
        assert isinstance(result_of(target, ca_file=ca_file), Retry)
    with pytest.raises(SettingsError, match=r"FMQ_WEBHOOK_CERT_FILE=.*not a PEM file"):
        make_handler(target.url, cert_file=ca_file, key_file=ca_file)


def test_rotated_certificates(tmp_path: Path) -> None:
    """A new client certificate goes out on a new connection at once; a target with another CA is reached in the same way."""
    old, new = Certificates(tmp_path / "old"), Certificates(tmp_path / "new")
    handler = make_handler(
        "https://127.0.0.1:1/hook", ca_file=old.ca, cert_file=old.client_cert, key_file=old.client_key
    )

    async def run(target: Target, other: Target) -> None:
        await handler.setup()
        handler._client.address = Address.of(URL(target.url))
        assert await outcome(handler.handle(message(number=1))) is None
        assert await outcome(handler.handle(message(number=2))) is None
        assert target.connections == 1
        handler._client.address = Address.of(URL(other.url))
        assert kind_and_reason(await outcome(handler.handle(message(number=3))))[0] is Unavailable
        for name in ("ca.pem", "client.pem", "client.key"):
            shutil.copy(tmp_path / "new" / name, tmp_path / "old" / name)
        assert await outcome(handler.handle(message(number=3))) is None
        handler._client.address = Address.of(URL(target.url))
        assert await outcome(handler.handle(message(number=4))) is not None
        await handler.teardown()

    with Target(tls=_demanding(old)) as target, Target(tls=_demanding(new)) as other:
        asyncio.run(run(target, other))
    assert [len(target.requests), len(other.requests)] == [2, 1]


def _demanding(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates.ca))
    context.load_cert_chain(certificates.server_cert, certificates.server_key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_a_missing_client_certificate_is_named(server_tls: ssl.SSLContext, ca_file: Path) -> None:
    """In TLS 1.3 the target refuses it after the handshake: the message is not at fault."""
    server_tls.verify_mode = ssl.CERT_REQUIRED
    with handshakes(server_tls) as port:
        handler = make_handler(f"https://127.0.0.1:{port}/hook", ca_file=ca_file)
        (result,) = deliver(handler, message())
    kind, reason = kind_and_reason(result)
    assert kind is Unavailable
    assert reason == (
        f"TLS with https://127.0.0.1:{port} failed: it requires a client certificate (certificate required)"
    )


def test_https_does_not_fall_back_to_http(server_tls: ssl.SSLContext, ca_file: Path) -> None:
    """A redirect from one to the other is dead."""
    with (
        Target() as plain,
        Target(always("307 Temporary Redirect", f"location: {plain.url}"), tls=server_tls) as target,
    ):
        kind, reason = kind_and_reason(result_of(target, ca_file=ca_file, redirects=3))
    assert kind is Reject
    assert "which is not followed" in reason
    assert plain.requests == []
