"""What paho's sockets (plain, TLS, WebSocket) do not offer, by a second descriptor of the same connection."""

import contextlib
import os
import socket
import time
from typing import Any, Protocol

_READ = 65_536


class Connected(Protocol):
    """Any of paho's sockets."""

    def fileno(self) -> int: ...


def pending(sock: Any) -> bool:  # noqa: ANN401 - only some of paho's sockets can tell
    """Whether bytes wait where select does not see them: decrypted, in the TLS layer."""
    return hasattr(sock, "pending") and sock.pending() > 0


def send_at_once(sock: Connected) -> None:
    """Let no PUBACK wait for the peer to confirm the last one (TCP_NODELAY): they go out many in one write anyway."""
    with _raw(sock) as raw, contextlib.suppress(OSError):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def cut(sock: Connected) -> None:
    """End the connection at once; reading from it then tells so."""
    with _raw(sock) as raw, contextlib.suppress(OSError):
        raw.shutdown(socket.SHUT_RDWR)


def linger(sock: Connected, seconds: float = 2.0) -> None:
    """Wait until the peer has read what was sent and ends the connection, for ``seconds`` at most.

    Closing a socket that holds unread bytes makes the kernel reset the connection, and the peer would lose what it has
    not read yet: the last PUBACKs.
    """
    end = time.monotonic() + seconds
    with _raw(sock) as raw, contextlib.suppress(OSError):
        raw.shutdown(socket.SHUT_WR)
        while (left := end - time.monotonic()) > 0:
            raw.settimeout(left)
            if not raw.recv(_READ):
                return


def _raw(sock: Connected) -> socket.socket:
    return socket.socket(fileno=os.dup(sock.fileno()))
