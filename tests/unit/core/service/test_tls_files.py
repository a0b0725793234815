"""The files of TLS: those of the moment, and good ones whatever becomes of them."""

import logging
import os
import shutil
from pathlib import Path

import pytest

from fmq.errors import SettingsError
from fmq.service.tls import TlsFiles
from support.certificates import Certificates


def _files(certificates: Certificates) -> TlsFiles:
    return TlsFiles(
        "FMQ_TLS", ca_file=certificates.ca, cert_file=certificates.client_cert, key_file=certificates.client_key
    )


def test_a_context_is_made_of_the_files_of_the_moment(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The same one while they are the same, so that connections cost no more than before."""
    old, new = Certificates(tmp_path / "old"), Certificates(tmp_path / "new")
    files = _files(old)
    first = files.context()
    assert files.context() is first
    new.ca.replace(old.ca)
    caplog.set_level(logging.INFO)
    second = files.context()
    assert second is not first
    assert second.get_ca_certs() != first.get_ca_certs()
    assert files.context() is second
    assert caplog.messages == ["The files of FMQ_TLS_… have changed; read them again"]


def test_files_that_do_not_fit_leave_the_last_good_context(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Such as a certificate whose key comes a moment later; it is logged once, and both are used when both are there."""
    old, new = Certificates(tmp_path / "old"), Certificates(tmp_path / "new")
    files = _files(old)
    first = files.context()
    new.client_cert.replace(old.client_cert)
    assert [files.context() for _ in range(3)] == [first] * 3
    assert len(caplog.messages) == 1
    assert "belongs to another certificate; using the certificates read before" in caplog.messages[0]
    new.client_key.replace(old.client_key)
    assert files.context() is not first
    shutil.rmtree(tmp_path / "old")
    assert files.context().get_ca_certs() == first.get_ca_certs()


def test_files_that_are_wrong_at_the_start_are_refused(tmp_path: Path) -> None:
    """Without an earlier good context, it can't go on."""
    files = TlsFiles("FMQ_TLS", ca_file=tmp_path / "missing", cert_file=None, key_file=None)
    with pytest.raises(SettingsError, match=r"FMQ_TLS_CA_FILE=.*No such file"):
        files.context()


@pytest.mark.parametrize("which", ["ca", "client_cert", "client_key"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, which: str) -> None:
    """Nobody may ever write to it. A service says so at the start, and goes on with the last good files later."""
    certificates = Certificates(tmp_path / "made")
    files = _files(certificates)
    good = files.context()
    path: Path = getattr(certificates, which)
    path.unlink()
    os.mkfifo(path)
    assert files.context() is good
    assert "client" in files.certificates() or which == "client_cert"
    assert "ca" in files.certificates() or which == "ca"
    with pytest.raises(SettingsError, match=r"it is not a regular file; expected a PEM file"):
        _files(certificates).context()
