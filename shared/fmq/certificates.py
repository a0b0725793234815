"""When certificates expire. Reads that one field of X.509 (RFC 5280, section 4.1), which Python shows of no certificate of one's own."""

import re
import ssl
import stat
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _VERSION, _UTC_TIME = 0x30, 0xA0, 0x17
_LONG = 0x80


def expiries(**files: Path | None) -> Mapping[str, float]:
    """Unix time at which the first certificate of each file expires, by the name given to the file.

    Without files that can't be read, or hold no certificate: the part that uses them says so.
    """
    found = {}
    for name, path in files.items():
        if path is not None:
            with suppress(OSError, ValueError):
                known = path.stat()
                if not stat.S_ISREG(known.st_mode):  # reading a pipe waits for its writer
                    continue
                if (at := _of_file(path, known.st_mtime_ns, known.st_size)) is not None:
                    found[name] = at
    return found


@lru_cache(maxsize=64)
def _of_file(path: Path, _changed: int, _size: int) -> float | None:
    """The arguments change when the file does."""
    times = [expiry(ssl.PEM_cert_to_DER_cert(one)) for one in _PEM.findall(path.read_text(errors="replace"))]
    return min((at for at in times if at is not None), default=None)


def peer_expiry(sock: object) -> float | None:
    """When the certificate of a connection's other end expires; None without TLS. Also below paho's WebSocket."""
    found = getattr(sock, "_socket", sock)
    der = found.getpeercert(binary_form=True) if isinstance(found, ssl.SSLSocket) else None
    return None if der is None else expiry(der)


def expiry(der: bytes) -> float | None:
    """Unix time of ``notAfter``. None if this is not a certificate."""
    try:
        _, at, _ = _field(der, 0)  # Certificate
        _, at, _ = _field(der, at)  # tbsCertificate
        tag, _, end = _field(der, at)
        fields = 4 if tag == _VERSION else 3  # version, if any; serialNumber, signature, issuer
        for _ in range(fields - 1):
            _, _, end = _field(der, end)
        tag, at, _ = _field(der, end)
        if tag != _SEQUENCE:
            return None
        _, _, end = _field(der, at)  # notBefore
        tag, at, end = _field(der, end)
        text = der[at:end].decode("ascii")
        if tag == _UTC_TIME:  # two digits of a year from 1950 to 2049
            text = f"{'19' if text >= '5' else '20'}{text}"
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except (IndexError, ValueError):
        return None


def _field(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, and where the content of the field at ``at`` begins and ends (X.690, section 8.1)."""
    tag, size, start = der[at], der[at + 1], at + 2
    if size & _LONG:
        octets = size & ~_LONG
        size, start = int.from_bytes(der[start : start + octets]), start + octets
    return tag, start, start + size
