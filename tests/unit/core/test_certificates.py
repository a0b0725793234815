"""When certificates expire."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fmq.certificates import expiries, expiry
from fmq.service.reporting.certificates import CertificateCollector
from fmq.service.tls import TlsFiles
from support.certificates import Certificates

ENDS = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls") / "files", ends=ENDS)


def _der(path: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(path.read_text())


@pytest.mark.parametrize(
    "ends", [ENDS, datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)], ids=str
)
def test_in_each_form_of_a_date(tmp_path: Path, ends: datetime) -> None:
    """Years from 1950 to 2049 have two digits, later ones four."""
    certificates = Certificates(tmp_path / "files", ends=ends)
    assert expiry(_der(certificates.client_cert)) == ends.timestamp()


def test_of_an_authority(made: Certificates) -> None:
    """As OpenSSL reads it."""
    context = ssl.create_default_context(cafile=made.ca)
    (authority,) = context.get_ca_certs()
    assert expiry(_der(made.ca)) == ssl.cert_time_to_seconds(str(authority["notAfter"]))


@pytest.mark.parametrize("cut", [0, 1, 2, 5, 50, 100])
def test_what_is_no_certificate(made: Certificates, cut: int) -> None:
    """It has no such time, and does no harm."""
    assert expiry(_der(made.client_cert)[:cut]) is None
    assert expiry(b"\x30\x84\xff\xff\xff\xff" + b"\x00" * cut) is None


def test_the_first_of_several_counts(made: Certificates, tmp_path: Path) -> None:
    """A chain is as good as its first certificate that expires; files without any are left out, and those that are gone."""
    later = Certificates(tmp_path / "later", ends=ENDS + timedelta(days=9))
    chain = tmp_path / "chain.pem"
    chain.write_bytes(b"text before\n" + later.client_cert.read_bytes() + made.client_cert.read_bytes())
    assert expiries(client=chain, ca=made.client_key, other=None, gone=tmp_path / "gone") == {
        "client": ENDS.timestamp()
    }


@pytest.mark.parametrize("content", ["MII", "\xff", "!!!", ""])
def test_a_broken_file_does_not_break_the_metrics(made: Certificates, tmp_path: Path, content: str) -> None:
    """While a service goes on with the certificates that it has read before, its metrics leave the file out."""
    broken = tmp_path / "broken.pem"
    broken.write_text(f"-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n", encoding="latin-1")
    assert expiries(client=made.client_cert, ca=broken) == {"client": ENDS.timestamp()}


def test_a_file_that_is_replaced(made: Certificates, tmp_path: Path) -> None:
    """The next scrape shows the new one."""
    file = tmp_path / "client.pem"
    file.write_bytes(made.client_cert.read_bytes())
    files = TlsFiles("FMQ_TLS", ca_file=None, cert_file=file, key_file=made.client_key)
    registry = CollectorRegistry()
    registry.register(CertificateCollector(files.certificates))

    def shown() -> float | None:
        return registry.get_sample_value("fmq_certificate_expiry_timestamp_seconds", {"certificate": "client"})

    assert shown() == ENDS.timestamp()
    new = Certificates(tmp_path / "new", ends=ENDS + timedelta(days=30))
    new.client_cert.replace(file)
    assert shown() == (ENDS + timedelta(days=30)).timestamp()
