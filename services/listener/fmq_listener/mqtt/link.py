"""Reading from a connection, writing to it, and how it ends: paho's sockets without a thread of paho's."""

import select
import ssl
from typing import Any

from paho.mqtt.client import Client, DisconnectFlags
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq.certificates import peer_expiry
from fmq.clock import Clock
from fmq.mqtt.reasons import explain_auth
from fmq.service.broker.client import explain_end
from fmq.service.lifecycle import Shutdown
from fmq.service.tls import failure_of
from fmq_listener.mqtt import sockets
from fmq_listener.mqtt.refusals import explain_disconnect
from fmq_listener.mqtt.wire import WireClient

_TAKEN_OVER = 142
_LONGEST_READ = 0.1
"""Seconds. Beyond it the commit of what came first begins, however fast more arrives."""


class Link:
    """The connection of a client, one after the other. ``ended`` says how the last one ended.

    ``explained``: the broker has given the reason.
    """

    def __init__(self, client: WireClient, shutdown: Shutdown, *, client_id: str, clock: Clock) -> None:
        self._client = client
        self._client_id = client_id
        self._shutdown = shutdown
        self._clock = clock
        self._generation = 0
        self._leaving = False
        self._tls_failure: ssl.SSLError | None = None
        self.certificate_ends: float | None = None
        """Unix time at which the broker's certificate expires, as of the last handshake. None without TLS."""
        self.ended = ""
        self.explained = False
        # With a callback for it, paho leaves every write to loop_write: PUBACKs of a batch go out together.
        client.on_socket_register_write = lambda *_: None
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_disconnect = self._on_disconnect

    def begin(self, generation: int) -> None:
        """Another connection is about to be made: forget what is left of the last one."""
        self._generation = generation
        self._client.begin(generation)
        self.ended, self.explained, self._leaving, self._tls_failure = "", False, False, None

    def wait(self, timeout: float) -> None:
        sock: Any = self._client.socket()
        if sock is not None and not self._client.undecoded and not sockets.pending(sock):
            writers = [sock] if self._client.want_write() else []
            select.select([sock, self._shutdown], writers, [], timeout)

    def read(self, *, hold: float = 0.0) -> None:
        """Read until the batch is full or has enough, nothing is left, or its time is over: then its commit begins.

        For ``hold`` seconds, wait for more, also where it has enough.
        """
        began = self._clock.steady()
        end = began + max(_LONGEST_READ, hold)
        while self._client.has_room and not self._client.loop_read() and self._clock.steady() < end:
            sock: Any = self._client.socket()
            if sock is None or (self._client.has_enough and not hold):
                return
            if not (self._client.undecoded or sockets.pending(sock)):
                patience = max(0.0, began + hold - self._clock.steady())
                if not select.select([sock, self._shutdown], [], [], patience)[0] or self._shutdown.requested:
                    return

    def flush(self) -> None:
        if self._client.want_write():
            self._client.loop_write()

    def close(self, seconds: float) -> None:
        """Send what waits to be sent, then DISCONNECT; gives up after ``seconds``."""
        end = self._clock.steady() + seconds
        self._leaving = True
        if self._client.socket() is not None:
            self._client.disconnect()
        while (sock := self._client.socket()) is not None and (left := end - self._clock.steady()) > 0:
            select.select([], [sock], [], left)
            self._client.loop_write()
        self.abort()

    def abort(self) -> None:
        """End the connection without DISCONNECT. The session stays."""
        sock = self._client.socket()
        if sock is not None:
            sockets.cut(sock)
            while self._client.socket() is not None:
                self._client.begin(self._generation)  # what has arrived comes again, with the session
                self._client.loop_read()

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self.explained = True
        failure = self._tls_failure
        if reason.value == _TAKEN_OVER:
            self.ended = f"another client has connected with the same client id {self._client_id}: set FMQ_CLIENT_ID"
        else:
            said = self._client.said
            given = explain_disconnect(reason, said) if flags.is_disconnect_packet_from_server else None
            self.ended = explain_auth(said) if said.asks else explain_end(reason=given, tls_failure=failure)
            self.explained = said.asks or given is not None or failure is not None

    def _on_socket_open(self, _client: Client, _userdata: object, sock: Any) -> None:  # noqa: ANN401 - as below
        sockets.send_at_once(sock)
        self.certificate_ends = peer_expiry(sock)

    def _on_socket_close(self, _client: Client, _userdata: object, sock: Any) -> None:  # noqa: ANN401 - one of paho's three kinds
        self._tls_failure = failure_of(sock)
        if self._leaving:
            sockets.linger(sock)
