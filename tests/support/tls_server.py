"""A server that does TLS handshakes by OpenSSL, and nothing else: it sends its alerts, which asyncio's servers do not."""

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress


@contextmanager
def handshakes(context: ssl.SSLContext | None) -> Iterator[int]:
    """A server that does a handshake and then ends the connection; without a context, one that speaks no TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError), closing(listening.accept()[0]) as client:
                if context is None:
                    client.sendall(b"220 hello, this is mail\r\n" * 10)
                    client.recv(1000)
                    return
                with context.wrap_socket(client, server_side=True, do_handshake_on_connect=False) as wrapped:
                    try:
                        wrapped.do_handshake()
                        wrapped.recv(1000)
                    except ssl.SSLError:
                        # Closing with unread bytes would reset the connection, and the client might lose the alert.
                        socket.socket.shutdown(wrapped, socket.SHUT_WR)
                        while os.read(wrapped.fileno(), 4096):
                            pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            thread.join(10)
