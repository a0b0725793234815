"""The client's side of TLS, from files that settings name."""

import ssl
from pathlib import Path

from fmq.errors import SettingsError


def client_context(
    prefix: str, *, ca_file: Path | None, cert_file: Path | None, key_file: Path | None
) -> ssl.SSLContext:
    """Always verifies the server's certificate and name: by ``ca_file``, or by the system's CAs.

    ``prefix`` is what the settings' names begin with, such as ``FMQ_TLS`` for FMQ_TLS_CA_FILE. Raises SettingsError on
    files that can't be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SettingsError(f"{prefix}_CA_FILE={_shown(ca_file)}: {_why(error)}") from error
    if cert_file is not None:
        try:
            context.load_cert_chain(cert_file, key_file, password=lambda: b"")
        except OSError as error:
            raise SettingsError(
                f"{prefix}_CERT_FILE={_shown(cert_file)}, {prefix}_KEY_FILE={_shown(key_file)}: {_why(error)}"
            ) from error
    return context


def _shown(path: Path | None) -> str:
    return repr(str(path))


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "not a PEM file with what belongs there, or the key is encrypted or belongs to another certificate"
    return error.strerror or str(error)
