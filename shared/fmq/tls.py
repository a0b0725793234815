"""The client's side of TLS, from files that settings name and that are replaced while a service runs."""

import logging
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path

from fmq.errors import SettingsError

_log = logging.getLogger(__name__)


class TlsFiles:
    """The certificates of a client. ``context`` is made of the files as they are at that moment.

    ``prefix`` is what the settings' names begin with, such as ``FMQ_TLS`` for FMQ_TLS_CA_FILE. Any thread may use it.
    """

    def __init__(self, prefix: str, *, ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> None:
        self._prefix = prefix
        self._ca_file, self._cert_file, self._key_file = ca_file, cert_file, key_file
        self._lock = threading.Lock()
        self._made: ssl.SSLContext | None = None
        self._state: Sequence[object] = ()
        self._problem = ""

    def context(self) -> ssl.SSLContext:
        """The context for the next connection; the same one as before while the files are the same.

        Files that can't be used any more, such as a certificate whose key comes a moment later, leave the last good
        context in use, and are logged once. Raises SettingsError on them if there was none before.
        """
        with self._lock:
            state = self._look()
            if self._made is None or state != self._state:
                self._made = self._make(state)
            return self._made

    def _make(self, state: Sequence[object]) -> ssl.SSLContext:
        try:
            made = client_context(
                self._prefix, ca_file=self._ca_file, cert_file=self._cert_file, key_file=self._key_file
            )
        except SettingsError as error:
            if self._made is None:
                raise
            if str(error) != self._problem:
                _log.warning("%s; the certificates read before stay in use", error)
            self._problem = str(error)
            return self._made
        if self._made is not None:
            _log.info("The files of %s_… have changed and were read again", self._prefix)
        self._state, self._problem = state, ""
        return made

    def _look(self) -> Sequence[object]:
        """What changes when a file does, also behind a symlink or within the system's folder of CAs."""
        paths = ssl.get_default_verify_paths()
        given = (self._ca_file, self._cert_file, self._key_file)
        return [_stat(path) for path in (*given, *(() if self._ca_file else (paths.cafile, paths.capath)))]


def client_context(
    prefix: str, *, ca_file: Path | None, cert_file: Path | None, key_file: Path | None
) -> ssl.SSLContext:
    """Always verifies the server's certificate and name: by ``ca_file``, or by the system's CAs.

    ``prefix`` is as for TlsFiles. Raises SettingsError on files that can't be used.
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


def _stat(path: Path | str | None) -> object:
    if path is None:
        return None
    try:
        found = Path(path).stat()
    except OSError as error:
        return error.errno
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _shown(path: Path | None) -> str:
    return repr(str(path))


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "not a PEM file with what belongs there, or the key is encrypted or belongs to another certificate"
    return error.strerror or str(error)
