"""An HTTP server for a few small pages, with bounds on the cost of its clients."""

import gzip
import logging
import re
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, NamedTuple

from fmq.clock import SYSTEM_CLOCK

_log = logging.getLogger(__name__)
REQUEST_SECONDS = 10.0
MOST_CONNECTIONS = 32
MOST_AT_WORK = 8
MOST_THREADS = 4 * MOST_CONNECTIONS
"""Including requests whose connection was replaced while they waited."""
_WAIT_FOR_TURN_SECONDS = 2.0
_PACKED_FROM_BYTES = 1_000
_GZIP = re.compile(r"(?:^|,)\s*gzip\s*(?:;\s*q=(?P<q>[\d.]+)\s*)?(?:,|$)", re.IGNORECASE)
_PACKING = 1  # a page of metrics becomes a tenth or less in a millisecond; higher levels take many times as long


class Page(NamedTuple):
    """An answer."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Pages = Callable[[str, str], Page | None]
"""Returns the page for a path (without its query) and an Accept header; None if there is none."""


class BoundedServer(ThreadingMixIn, TCPServer):
    """A thread per connection, one request per connection (HTTP/1.0), whose line and headers http.server limits.

    When ``MOST_CONNECTIONS`` are open, a new one replaces the oldest, so that idle clients can't block probes. Each connection
    ends after ``REQUEST_SECONDS``, however slow it is. At most ``MOST_AT_WORK`` answers are made at once.
    """

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 4 * MOST_CONNECTIONS

    def __init__(self, host: str, port: int, pages: Pages, *, light: tuple[str, ...] = ()) -> None:
        """Listen on ``host``, a name or an address of IPv4 or IPv6 (``::`` takes IPv4 as well).

        The pages of the paths ``light`` are cheap and are answered at once. Raises OSError.
        """
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )[0]
        self.address_family = family
        self._open: dict[socket.socket, float] = {}
        self._served: set[socket.socket] = set()
        self._turns = threading.BoundedSemaphore(MOST_AT_WORK)
        super().__init__(address, _handler(pages, light, self._turns), bind_and_activate=False)  # type: ignore[arg-type]
        try:
            if family == socket.AF_INET6:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
            self.server_bind()
            self.server_activate()
        except OSError:
            self.server_close()
            raise

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base class's types
        if len(self._served) >= MOST_THREADS:
            self.shutdown_request(request)
            return
        if len(self._open) >= MOST_CONNECTIONS:
            for oldest in tuple(self._open)[:1]:
                self._cut(oldest)
        self._served.add(request)
        self._open[request] = SYSTEM_CLOCK.steady() + REQUEST_SECONDS
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the signature of socketserver
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._served.discard(request)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - the signature of socketserver
        self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called in every turn of the loop: end connections that take too long."""
        now = SYSTEM_CLOCK.steady()
        for request, end in tuple(self._open.items()):
            if now > end:
                self._cut(request)

    def _cut(self, request: socket.socket) -> None:
        """End a connection. Its thread wakes up and closes it."""
        self._open.pop(request, None)
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 - the signature of socketserver
        error = sys.exception()
        if isinstance(error, OSError):  # the client has gone
            _log.debug("Request of %s ended early: %s", client_address, error)
        else:
            _log.warning("Request of %s failed", client_address, exc_info=error)


def _handler(pages: Pages, light: tuple[str, ...], turns: threading.BoundedSemaphore) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_SECONDS
        server_version = "fmq"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path in light:
                return self._show(pages(path, ""))
            if not turns.acquire(timeout=_WAIT_FOR_TURN_SECONDS):
                return self._show(Page(HTTPStatus.SERVICE_UNAVAILABLE, b"too many requests at once\n"))
            try:
                page = pages(path, self.headers.get("Accept", ""))
            finally:
                turns.release()
            return self._show(page)

        do_HEAD = do_GET  # noqa: N815 - http.server's names

        def do_POST(self) -> None:
            """Answer any method that HTTP knows and these pages do not (RFC 9110, section 15.5.6)."""
            self._show(Page(HTTPStatus.METHOD_NOT_ALLOWED, b"only GET and HEAD are answered\n"))

        do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = do_POST  # noqa: N815 - names that http.server looks up

        def _show(self, page: Page | None) -> None:
            page = page or Page(HTTPStatus.NOT_FOUND, b"not found\n")
            body = page.body
            is_packed = len(body) >= _PACKED_FROM_BYTES and accepts_gzip(self.headers.get("Accept-Encoding", ""))
            if is_packed:
                body = gzip.compress(body, _PACKING)
            self.send_response(page.status)
            if page.status == HTTPStatus.METHOD_NOT_ALLOWED:
                self.send_header("Allow", "GET, HEAD")
            self.send_header("Content-Type", page.content_type)
            if is_packed:
                self.send_header("Content-Encoding", "gzip")
                self.send_header("Vary", "Accept-Encoding")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            _log.debug(format, *args)

    return Handler


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header names gzip, and does not rule it out by q=0 (RFC 9110, section 12.5.3)."""
    found = _GZIP.search(header)
    return found is not None and (found["q"] is None or found["q"].strip("0.") != "")
