"""The server of the pages: uvicorn in the main thread."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from fmq.errors import FmqError, SettingsError
from fmq.service.http.health import Heartbeat
from fmq.service.lifecycle import Shutdown
from fmq_web.http.connections import Connection

_LARGEST_HEAD = 240 * 1024
"""In bytes. The name of a queue may have 65,535 (MQTT 5, section 1.5.4), each of which takes three in a URL."""
_KEEP_ALIVE_SECONDS = 5
_BACKLOG = 128
_TICKS_PER_SECOND = 10


def bind(host: str, port: int) -> socket.socket:
    """A socket for the pages. ``host`` is a name or an address of IPv4 or IPv6 (``::`` takes IPv4 as well).

    Raises FmqError (exit code 1) if another process uses the port, since that may pass, and SettingsError (exit code 2) for an
    address that this machine does not have.
    """
    try:
        flags = socket.AI_PASSIVE | socket.AI_NUMERICSERV
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
            bound.bind(address)
            # A port is taken only once somebody listens.
            bound.listen(_BACKLOG)
        except OSError:
            bound.close()
            raise
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        text = f"FMQ_WEB_HOST={host!r}, FMQ_WEB_PORT={port}: {why}"
        is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        raise (FmqError(text) if is_taken else SettingsError(text)) from error
    return bound


class PageServer(uvicorn.Server):
    """Serves ``app`` until ``shutdown``. ``each_second`` is called in the loop; so is ``on_stop``, once, before it stops.

    After the shutdown, requests have ``grace`` seconds to end; live streams have to be ended by ``on_stop``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        shutdown: Shutdown,
        heartbeat: Heartbeat,
        each_second: Callable[[], None],
        on_stop: Callable[[], None],
        grace: float,
        protocol: type[Connection] = Connection,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                interface="asgi3",
                loop="asyncio",
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # fmq_web.http.peer.proxies reads them, and from trusted proxies only
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, round(grace)),
                h11_max_incomplete_event_size=_LARGEST_HEAD,
            )
        )
        # It would log each connection that speaks no HTTP, and tracebacks with their texts.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._shutdown = shutdown
        self._heartbeat = heartbeat
        self._each_second = each_second
        self._on_stop = on_stop

    def serve_on(self, bound: socket.socket) -> None:
        """Serve on a socket until the shutdown."""
        asyncio.run(self.serve(sockets=[bound]))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Shutdown has them already."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        if counter % _TICKS_PER_SECOND == 0:
            self._heartbeat.beat()
            self._each_second()
        self.should_exit = self.should_exit or self._shutdown.requested
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)
