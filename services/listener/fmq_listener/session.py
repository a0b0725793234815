"""One session with the broker, over as many connections as it takes.

Everything happens in the thread that calls: paho runs without a thread of its own, and its callbacks only take note.
"""

import logging
import select
import ssl
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq.broker import explain_error
from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.errors import FmqError
from fmq.lifecycle import Shutdown
from fmq.queue import Queue
from fmq.resolving import Resolver
from fmq.tls import failure_of
from fmq_listener import sockets
from fmq_listener.batch import Batch
from fmq_listener.connection import explain_refusal, make_client, open_connection
from fmq_listener.filters import Router, identifiers
from fmq_listener.ledger import Ledger
from fmq_listener.settings import ListenerSettings
from fmq_listener.subscriptions import Subscriptions

_log = logging.getLogger(__name__)
_ANSWER_SECONDS = 10.0
_TAKEN_OVER = 142
_LONGEST_READ = 0.1
"""Seconds. Beyond it the commit of what came first begins, however fast more arrives."""
_NO_MQTT_5 = "; if it knows no MQTT 5, set FMQ_MQTT_VERSION=3.1.1"


class ConnectionFailed(FmqError):
    """The broker was not reached."""


class ConnectionLost(FmqError):
    """The connection to the broker has ended."""


class Session:
    """Reads batches and acknowledges them, each only on the connection that it was read from."""

    def __init__(
        self,
        settings: ListenerSettings,
        *,
        client_id: str,
        queue: Queue,
        shutdown: Shutdown,
        clock: Clock = SYSTEM_CLOCK,
        leave: bool = False,
        on_begin: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """``on_begin`` is told, on every new connection before its first message, whether the session was still there.

        With ``leave``, take back every subscription, and only read what the session still holds.
        """
        self._settings = settings
        self._client_id = client_id
        self._queue = queue
        self._shutdown = shutdown
        self._resolver = Resolver(shutdown)
        self._clock = clock
        self._on_begin = on_begin
        self._names = tuple(one.name for one in settings.filters)
        self._generation = 0
        self._connack: tuple[ConnectFlags, ReasonCode, Properties | None] | None = None
        self._ended = ""
        self._tls_failure: ssl.SSLError | None = None
        self._leaving = False
        v5 = settings.mqtt_version == "5"
        self._client = client = make_client(settings, client_id)
        # With a callback for it, paho leaves every write to loop_write: PUBACKs of a batch go out together.
        client.on_socket_register_write = lambda *_: None
        client.on_socket_close = self._on_socket_close
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        # The broker is part of the key: another one knows nothing of what this one was asked.
        key = f"subscriptions:{client_id}@{settings.broker.host}:{settings.broker.port}"
        wanted, unwanted = ((), settings.filters) if leave else (settings.filters, ())
        self._ledger = Ledger(wanted, memory=queue, key=key, unwanted=unwanted)
        self._subscriptions = Subscriptions(client, self._ledger, v5=v5, clock=clock)

    @property
    def subscribed(self) -> bool:
        """Whether the connection stands and every filter is subscribed."""
        return self._connack is not None and self._client.is_connected() and self._subscriptions.complete

    @property
    def has_left(self) -> bool:
        """Whether the connection stands and the session holds no subscription any more."""
        return self._connack is not None and self._client.is_connected() and self._subscriptions.none_left

    def connect(self) -> None:
        """Try once to connect, and ask for the subscriptions that are missing.

        Raises ConnectionFailed with the reason in words, and StoreUnavailable.
        """
        self._generation += 1
        self._client.begin(self._generation)
        self._connack = None
        self._ended = ""
        self._leaving = False
        try:
            self._resolver.require(self._settings.broker.host, self._settings.broker.port)
            open_connection(self._client, self._settings)
        except (OSError, ValueError) as error:
            raise ConnectionFailed(explain_error(error)) from error
        if (sock := self._client.socket()) is not None:
            sockets.send_at_once(sock)
        flags, properties = self._await_connack()
        self._begin(session_present=flags.session_present, properties=properties)

    def poll(self, timeout: float) -> Batch:
        """What has arrived; waits up to ``timeout`` seconds for it to begin, or for the shutdown.

        Raises ConnectionLost when the connection has ended and everything read from it was handed over.
        """
        if self._client.socket() is not None:
            self._keep_subscriptions()
            self._wait(timeout)
            self._read()
            self._client.loop_misc()
            self._flush()
        batch = self._client.take()
        if not batch and self._client.socket() is None:
            raise ConnectionLost(self._ended or None)
        return batch

    def acknowledge(self, batch: Batch) -> int:
        """Send the PUBACKs of a stored batch in order of arrival; returns how many.

        None if its connection has ended: packet ids are used again, and would acknowledge another message.
        """
        if batch.generation != self._generation or self._client.socket() is None:
            return 0
        if batch.packet_ids:
            self._client.acknowledge(batch.packet_ids)
        for packet_id in batch.completions:
            self._client.ack(packet_id, 2)
        self._flush()
        return len(batch.packet_ids)

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
        """End the connection without a word. The session stays."""
        sock = self._client.socket()
        if sock is not None:
            sockets.cut(sock)
            while self._client.socket() is not None:
                self._client.begin(self._generation)  # what has arrived comes again, with the session
                self._client.loop_read()

    def _await_connack(self) -> tuple[ConnectFlags, Properties | None]:
        end = self._clock.steady() + _ANSWER_SECONDS
        while self._connack is None:
            if self._client.socket() is None:
                raise ConnectionFailed(f"the broker ended the connection: {self._ended}")
            if self._clock.steady() > end or self._shutdown.requested:
                self.abort()
                hint = _NO_MQTT_5 if self._settings.mqtt_version == "5" else ""
                raise ConnectionFailed(f"the broker did not answer CONNECT in time{hint}")
            self._flush()
            self._wait(1.0)
            self._client.loop_read()
        flags, reason, properties = self._connack
        if reason.is_failure:
            self.abort()
            raise ConnectionFailed(explain_refusal(reason))
        return flags, properties

    def _begin(self, *, session_present: bool, properties: Properties | None) -> None:
        granted = getattr(properties, "SessionExpiryInterval", None)
        if granted is not None and granted < self._settings.session_expiry_seconds:
            _log.warning("The broker keeps messages for an absent listener for %d s only", granted)
        _log.info(
            "Connected to %s, the session is %s", self._settings.broker, "still there" if session_present else "new"
        )
        self._on_begin(session_present)
        self._ledger.recall()
        if not session_present and self._ledger.known:
            _log.warning("The broker has lost this listener's session (has it expired?), and what it had queued in it")
        former = [name for name in self._queue.names() if name not in self._names]
        numbers = identifiers([*self._names, *former])
        self._client.route(Router(self._names, former, numbers))
        usable = self._settings.mqtt_version == "5" and getattr(properties, "SubscriptionIdentifierAvailable", True)
        self._subscriptions.start(session_present=session_present, numbers=numbers if usable else {})
        self._flush()

    def _keep_subscriptions(self) -> None:
        """Act on what the broker answered, before anything more is read: nothing in hand is lost if the store fails."""
        self._subscriptions.settle()
        if self._subscriptions.overdue:
            self.abort()
            raise ConnectionLost("the broker did not answer SUBSCRIBE or UNSUBSCRIBE in time")

    def _wait(self, timeout: float) -> None:
        sock: Any = self._client.socket()
        if sock is not None and not self._client.undecoded and not sockets.pending(sock):
            writers = [sock] if self._client.want_write() else []
            select.select([sock, self._shutdown], writers, [], timeout)

    def _read(self) -> None:
        """Read until the batch is full, nothing is left, or its time is over: then its commit begins."""
        end = self._clock.steady() + _LONGEST_READ
        while self._client.has_room and not self._client.loop_read() and self._clock.steady() < end:
            sock: Any = self._client.socket()
            if sock is None:
                return
            if not (self._client.undecoded or sockets.pending(sock) or select.select([sock], [], [], 0)[0]):
                return

    def _flush(self) -> None:
        if self._client.want_write():
            self._client.loop_write()

    def _on_connect(
        self, _client: Client, _userdata: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._connack = (flags, reason, properties)

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.value == _TAKEN_OVER:
            self._ended = f"another client has connected with the same client id {self._client_id}: set FMQ_CLIENT_ID"
        elif flags.is_disconnect_packet_from_server:
            self._ended = f"the broker ended it: {reason.getName()}"
        elif self._tls_failure is not None:
            self._ended = explain_error(self._tls_failure)
        else:
            self._ended = "the broker or the network ended it without a word"

    def _on_socket_close(self, _client: Client, _userdata: object, sock: Any) -> None:  # noqa: ANN401 - one of paho's three kinds
        self._tls_failure = failure_of(sock)
        if self._leaving:
            sockets.linger(sock)
