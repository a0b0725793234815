"""TLS of the client's side: what it verifies, and how its failures are explained. On a real server of Python's ssl."""

import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from fmq.errors import SettingsError
from fmq.service.broker.client import explain_error
from fmq.service.tls import client_context, failure_of
from support.tls_server import handshakes


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _failure(port: int, context: ssl.SSLContext) -> Exception:
    """What a client meets that reads after its handshake."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        try:
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as wrapped:
                with pytest.raises(OSError, match="alert") as caught:
                    wrapped.recv(1000)
                assert failure_of(wrapped) is caught.value
                return caught.value
        except OSError as error:
            return error


def _server(authority: trustme.CA, *names: str, ends: datetime | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names, not_after=ends).configure_cert(context)
    return context


def _demanding(authority: trustme.CA) -> ssl.SSLContext:
    context = _server(authority, "127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    return context


def _client(folder: Path, trusted: trustme.CA, own: trustme.LeafCert | None = None) -> ssl.SSLContext:
    ca, cert, key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    trusted.cert_pem.write_to_path(str(ca))
    if own is not None:
        own.cert_chain_pems[0].write_to_path(str(cert))
        own.private_key_pem.write_to_path(str(key))
    return client_context("FMQ_TLS", ca_file=ca, cert_file=cert if own else None, key_file=key if own else None)


@pytest.mark.parametrize(
    ("server", "told"),
    [
        (lambda _: _server(trustme.CA(), "127.0.0.1"), "its CA is unknown"),
        (lambda ca: _server(ca, "broker.example"), "it is for another"),
        (lambda ca: _server(ca, "127.0.0.1", ends=datetime.now(UTC) - timedelta(days=1)), "it has expired"),
        (lambda _: None, "it does not speak TLS on this port"),
        (_demanding, "it requires a client certificate (certificate required)"),
    ],
)
def test_why_tls_failed(
    tmp_path: Path, authority: trustme.CA, server: Callable[[trustme.CA], ssl.SSLContext | None], told: str
) -> None:
    """In words that name what to change."""
    with handshakes(server(authority)) as port:
        assert told in explain_error(_failure(port, _client(tmp_path, authority)))


def test_a_client_certificate_of_an_unknown_ca(tmp_path: Path, authority: trustme.CA) -> None:
    """In TLS 1.3 the refusal comes after the handshake, at the first read."""
    stranger = trustme.CA().issue_cert("client.example")
    with handshakes(_demanding(authority)) as port:
        told = explain_error(_failure(port, _client(tmp_path, authority, stranger)))
    assert told == ("TLS with the broker failed: it does not know the CA of the client certificate (unknown CA)")


def test_what_is_verified_does_not_depend_on_python(tmp_path: Path, authority: trustme.CA) -> None:
    """3.13 sets VERIFY_X509_STRICT by default, 3.11 does not; the name and the chain are verified with each."""
    context = _client(tmp_path, authority)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN


def test_a_key_of_another_certificate_is_named(tmp_path: Path, authority: trustme.CA) -> None:
    """As that, not as some fault of the file."""
    own, other = authority.issue_cert("a.example"), authority.issue_cert("b.example")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    own.cert_chain_pems[0].write_to_path(str(cert))
    other.private_key_pem.write_to_path(str(key))
    with pytest.raises(SettingsError, match="the key belongs to another certificate"):
        client_context("FMQ_TLS", ca_file=None, cert_file=cert, key_file=key)
