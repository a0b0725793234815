"""TLS of a client, with files that may be replaced while a service runs, and explanations of its failures (docs/adr/0021)."""

import logging
import re
import ssl
import stat
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fmq.certificates import expiries
from fmq.errors import SettingsError

_log = logging.getLogger(__name__)
HOST_NAME = r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?$"
_PROTOCOL = re.compile(r"[!-~]{1,255}")  # RFC 7301, section 3.1; commas separate them
_ALERTS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it requires a client certificate (certificate required)",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it found no common settings, or requires a client certificate "
    "(handshake failure)",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the CA of the client certificate (unknown CA)",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it rejects the client certificate (bad certificate)",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it rejects the client certificate (certificate unknown)",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it says that the client certificate has expired (certificate expired)",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it says that the client certificate is revoked (certificate revoked)",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it can't use a client certificate of this kind (unsupported certificate)",
    "TLSV1_ALERT_ACCESS_DENIED": "it rejects the client certificate (access denied)",
    "TLSV1_ALERT_DECRYPT_ERROR": "it can't verify a signature: do certificate and key belong together? (decrypt error)",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks another version of TLS (protocol version)",
    "TLSV1_UNRECOGNIZED_NAME": "it does not know this host name (unrecognized name)",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "it speaks none of the application protocols offered: set another ALPN "
    "(no application protocol)",
    "TLSV1_ALERT_INTERNAL_ERROR": "it failed; its log says why (internal error)",
    "WRONG_VERSION_NUMBER": "it does not speak TLS on this port",
    "HTTP_REQUEST": "it does not speak TLS on this port",
    "PACKET_LENGTH_TOO_LONG": "it does not speak TLS on this port",
    "RECORD_LAYER_FAILURE": "it does not speak TLS on this port",
    "UNEXPECTED_EOF_WHILE_READING": "it closed the connection during the handshake",
    "UNSUPPORTED_PROTOCOL": "it speaks too old a version of TLS",
}
"""By OpenSSL's reason. Alerts: RFC 8446, section 6."""
_CERTIFICATE = {
    9: "it is not valid yet; check the clocks",
    10: "it has expired",
    18: "it is self-signed and not among the trusted ones; name it as the CA file",
    19: "its CA is unknown; name that CA's file",
    20: "its CA is unknown; name that CA's file",
    21: "its CA is unknown, or it came without its intermediate certificates",
    23: "it is revoked",
    62: "it is for another host",
    64: "it is for another address",
}
"""By OpenSSL's codes: X509_STORE_CTX_get_error(3)."""
_FILES = {
    "KEY_VALUES_MISMATCH": "the key belongs to another certificate",
    "NO_START_LINE": "not a PEM file with the expected content",
    "BAD_DECRYPT": "the key is encrypted; give one that is not",
    "BAD_PASSWORD_READ": "the key is encrypted; give one that is not",
}

_NO_CA = "not a PEM file with certificates"
_NO_PAIR = "not a PEM file with the expected content, or the key is encrypted or belongs to another certificate"


class TlsGreeting(NamedTuple):
    """What a client says in its first message. ``server_name``: None is the host that it connects to; ``alpn``: protocols."""

    server_name: str | None = None
    alpn: tuple[str, ...] = ()


NO_GREETING = TlsGreeting()


class _Context(ssl.SSLContext):
    """Sends and verifies another name than that of the host, if ``server_name`` is one."""

    server_name: str | None = None

    def wrap_socket(self, sock: Any, *args: Any, **kwargs: Any) -> ssl.SSLSocket:  # noqa: ANN401 - as the base class has it
        if self.server_name is not None:
            kwargs["server_hostname"] = self.server_name
        return super().wrap_socket(sock, *args, **kwargs)


class _Socket(ssl.SSLSocket):
    """Keeps a TLS failure: in TLS 1.3 a server rejects the client's certificate after the handshake.

    The rejection comes with the first read, where an MQTT client sees only the end of the connection.
    """

    failure: ssl.SSLError | None = None

    def read(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the base class has it
        try:
            return super().read(*args, **kwargs)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.failure = error
            raise


class _Object(ssl.SSLObject):
    """The same for asyncio, which drops the error: the context keeps it, see ``take_failure``."""

    def read(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the base class has it
        try:
            return super().read(*args, **kwargs)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            vars(self.context)["failure"] = error
            raise


class TlsFiles:
    """The certificates of a client. ``context`` uses the current content of the files.

    ``prefix`` is that of the settings' names: ``FMQ_TLS`` for FMQ_TLS_CA_FILE. Any thread may use it.
    """

    def __init__(
        self,
        prefix: str,
        *,
        ca_file: Path | None,
        cert_file: Path | None,
        key_file: Path | None,
        greeting: TlsGreeting = NO_GREETING,
    ) -> None:
        self._prefix = prefix
        self._greeting = greeting
        self._ca_file, self._cert_file, self._key_file = ca_file, cert_file, key_file
        self._lock = threading.Lock()
        self._made: ssl.SSLContext | None = None
        self._state: Sequence[object] = ()
        self._problem = ""

    def context(self) -> ssl.SSLContext:
        """The context for the next connection, the same as before while the files are unchanged.

        If files can't be used any more, for example a certificate whose key comes a moment later, the last good context
        stays in use, and a warning is logged once. Raises SettingsError without an earlier context.
        """
        with self._lock:
            state = self._look()
            if self._made is None or state != self._state:
                self._made = self._make(state)
            return self._made

    def certificates(self) -> Mapping[str, float]:
        """Unix time at which the certificates in the files expire: of the ``client`` and of the ``ca``, as far as they are given."""
        return expiries(client=self._cert_file, ca=self._ca_file)

    def _make(self, state: Sequence[object]) -> ssl.SSLContext:
        try:
            made = client_context(
                self._prefix,
                ca_file=self._ca_file,
                cert_file=self._cert_file,
                key_file=self._key_file,
                greeting=self._greeting,
            )
        except SettingsError as error:
            if self._made is None:
                raise
            if str(error) != self._problem:
                _log.warning("%s; using the certificates read before", error)
            self._problem = str(error)
            return self._made
        if self._made is not None:
            _log.info("The files of %s_… have changed; read them again", self._prefix)
        self._state, self._problem = state, ""
        return made

    def _look(self) -> Sequence[object]:
        """Changes when a file does, also behind a symlink or within the system's folder of CAs."""
        paths = ssl.get_default_verify_paths()
        given = (self._ca_file, self._cert_file, self._key_file)
        return [_stat(path) for path in (*given, *(() if self._ca_file else (paths.cafile, paths.capath)))]


def require_protocols(names: tuple[str, ...]) -> tuple[str, ...]:
    """The protocols for ALPN. Raises ValueError if one can't be one."""
    for name in names:
        if not _PROTOCOL.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a protocol")
    return names


def require_pair(prefix: str, *, cert_file: Path | None, key_file: Path | None) -> None:
    """Raise ValueError if only one of both is given. ``prefix`` is as for TlsFiles."""
    if (cert_file is None) != (key_file is None):
        raise ValueError(f"{prefix}_CERT_FILE and {prefix}_KEY_FILE belong together: set both or neither")


def client_context(
    prefix: str,
    *,
    ca_file: Path | None,
    cert_file: Path | None,
    key_file: Path | None,
    greeting: TlsGreeting = NO_GREETING,
) -> ssl.SSLContext:
    """A context that verifies the server's certificate and name, by ``ca_file`` or the system's CAs.

    ``prefix`` is as for TlsFiles. Raises SettingsError on files that can't be used.
    """
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)  # verifies both
    context.server_name = greeting.server_name
    try:
        if ca_file is None:
            context.load_default_certs()
        else:
            _require_file(ca_file)
            context.load_verify_locations(ca_file)
    except OSError as error:
        raise SettingsError(f"{prefix}_CA_FILE={_shown(ca_file)}: {_why(error, _NO_CA)}") from error
    # The same with every Python: 3.13 has other defaults than 3.11.
    context.verify_flags = (context.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN) & ~ssl.VERIFY_X509_STRICT
    context.sslsocket_class, context.sslobject_class = _Socket, _Object
    if greeting.alpn:
        context.set_alpn_protocols(greeting.alpn)
    if cert_file is not None:
        try:
            for path in filter(None, (cert_file, key_file)):
                _require_file(path)
            context.load_cert_chain(cert_file, key_file, password=lambda: b"")
        except OSError as error:
            raise SettingsError(
                f"{prefix}_CERT_FILE={_shown(cert_file)}, {prefix}_KEY_FILE={_shown(key_file)}: {_why(error, _NO_PAIR)}"
            ) from error
    return context


def _require_file(path: Path) -> None:
    """Raise OSError for what OpenSSL would read without end, such as a pipe that nobody writes to."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is not a regular file")


def _stat(path: Path | str | None) -> object:
    if path is None:
        return None
    try:
        found = Path(path).stat()
    except OSError as error:
        return error.errno
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def failure_of(sock: object) -> ssl.SSLError | None:
    """The TLS failure of a connection, if any, also below paho's WebSocket."""
    found = getattr(getattr(sock, "_socket", sock), "failure", None)
    return found if isinstance(found, ssl.SSLError) else None


def take_failure(context: ssl.SSLContext) -> ssl.SSLError | None:
    """The failure after the handshake of an asyncio connection with ``context``, if any since the last call."""
    found = vars(context).pop("failure", None)
    return found if isinstance(found, ssl.SSLError) else None


def explain_tls(error: ssl.SSLError, peer: str) -> str:
    """Why TLS with ``peer`` failed, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = _CERTIFICATE.get(error.verify_code)
        why = f"{text} ({error.verify_message})" if text else error.verify_message
        return f"the TLS certificate of {peer} was rejected: {why}"
    return f"TLS with {peer} failed: {_ALERTS.get(error.reason or '') or error.reason or error}"


def _shown(path: Path | None) -> str:
    return repr(str(path))


def _why(error: OSError, usual: str) -> str:
    if isinstance(error, ssl.SSLError):
        return _FILES.get(error.reason or "", usual)
    return f"{error.strerror or error}; expected a PEM file"
