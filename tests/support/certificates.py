"""A CA of the test's own, a certificate for the broker and one for the listener."""

from datetime import datetime
from pathlib import Path

import trustme


class Certificates:
    """Files in PEM in ``folder``, which is made. ``ends`` is when they become invalid; None: not in this test's time."""

    def __init__(self, folder: Path, *, ends: datetime | None = None) -> None:
        folder.mkdir()
        self._ends = ends
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self.server_cert, self.server_key = self._issue(authority, folder / "server")
        self.client_cert, self.client_key = self._issue(authority, folder / "client")

    def _issue(self, authority: trustme.CA, stem: Path) -> tuple[Path, Path]:
        issued = authority.issue_cert("127.0.0.1", not_after=self._ends)
        cert, key = stem.with_suffix(".pem"), stem.with_suffix(".key")
        issued.cert_chain_pems[0].write_to_path(str(cert))
        issued.private_key_pem.write_to_path(str(key))
        return cert, key
