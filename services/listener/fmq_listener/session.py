"""One session with the broker, over as many connections as it takes.

Everything happens in the thread that calls: paho runs without a thread of its own, and its callbacks only take note.
"""

import logging
import select
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq.broker import explain_error
from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.errors import FmqError, SettingsError
from fmq.lifecycle import Shutdown
from fmq.queue import Queue
from fmq.resolving import Resolver
from fmq_listener import sockets
from fmq_listener.batch import Batch
from fmq_listener.connection import NO_MQTT_5, explain_refusal, make_client, open_connection
from fmq_listener.departure import Departure
from fmq_listener.filters import Router, identifiers
from fmq_listener.greeting import Greeting
from fmq_listener.ledger import Ledger
from fmq_listener.settings import ListenerSettings
from fmq_listener.subscriptions import Subscriptions

_log = logging.getLogger(__name__)
_ANSWER_SECONDS = 10.0
_TAKEN_OVER = 142
_LONGEST_READ = 0.1
"""Seconds. Beyond it the commit of what came first begins, however fast more arrives."""
_GATHER_SECONDS = 0.5
"""How long a broker may take to deliver again what was not acknowledged, to be seen as a whole (see redelivery)."""


class ConnectionFailed(FmqError):
    """The broker was not reached."""


class ConnectionLost(FmqError):
    """The connection to the broker has ended. ``explained``: the text says why."""

    def __init__(self, text: str, *, explained: bool = True) -> None:
        super().__init__(text)
        self.explained = explained


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
        on_begin: Callable[[Greeting], None] = lambda _: None,
    ) -> None:
        """``on_begin`` is called on every new connection, before its first message.

        With ``leave``, read what the session still holds, then take back every subscription.
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
        self._explained = False
        self._leaving = False
        self._gathers = False
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
        self._departure = Departure(client, self._ledger, self._subscriptions, clock=clock, last=leave)

    @property
    def subscribed(self) -> bool:
        """Whether the connection stands and every filter is granted at QoS 1."""
        return self.problem is None

    @property
    def problem(self) -> str | None:
        """Why messages of some filter do not come in; None if all do."""
        if self._connack is None or not self._client.is_connected():
            return "not connected"
        return self._subscriptions.problem

    def holds(self, name: str) -> bool:
        """Whether the connection stands and the filter of this queue is granted at QoS 1."""
        return self._connack is not None and self._client.is_connected() and self._subscriptions.held(name)

    @property
    def has_left(self) -> bool:
        """Whether the session holds no subscription and no message any more."""
        return self._connack is not None and self._client.is_connected() and self._departure.complete

    def connect(self) -> None:
        """Try once to connect, and subscribe.

        Raises ConnectionFailed with the reason in words, and StoreUnavailable.
        """
        self._generation += 1
        self._client.begin(self._generation)
        self._connack = None
        self._ended, self._explained = "", False
        self._leaving = False
        self._subscriptions.reset()
        try:
            self._resolver.require(self._settings.broker.host, self._settings.broker.port)
            open_connection(self._client, self._settings)
        except (OSError, ValueError) as error:
            raise ConnectionFailed(explain_error(error)) from error
        except SettingsError as error:
            raise ConnectionFailed(str(error)) from error
        if (sock := self._client.socket()) is not None:
            sockets.send_at_once(sock)
        self._begin(self._await_connack())

    def poll(self, timeout: float) -> Batch:
        """What has arrived; waits up to ``timeout`` seconds for it to begin, or for the shutdown.

        Everything that was handed over before has to be acknowledged by now. Raises ConnectionLost when the connection
        has ended and everything read from it was handed over, LeaveInDoubt where messages might be lost by leaving.
        """
        if self._client.socket() is not None:
            self._keep_subscriptions()
            self._departure.step()
            self._flush()
            self._wait(min(timeout, self._departure.wait))
            self._read(hold=self._departure.hold())
            if self._gathers and self._client.starts_anew:
                self._read(hold=_GATHER_SECONDS)
            self._gathers = self._gathers and not self._client.received
            self._client.loop_misc()
            self._flush()
        batch = self._client.take()
        self._departure.gathered(batch.owed)
        if not batch and self._client.socket() is None:
            self._subscriptions.settle()
            blame = self._subscriptions.blame
            self._subscriptions.ended()
            raise ConnectionLost(self._ended + blame, explained=self._explained or bool(blame))
        return batch

    def acknowledge(self, batch: Batch) -> int:
        """Send the answers to a stored batch in order of arrival; returns how many PUBACKs and PUBRECs.

        Returns 0 if its connection has ended: packet ids are used again, and would acknowledge another message.
        """
        self._client.stored(batch)
        if batch.generation != self._generation or self._client.socket() is None:
            return 0
        self._client.acknowledge(batch)
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
        """End the connection without DISCONNECT. The session stays."""
        sock = self._client.socket()
        if sock is not None:
            sockets.cut(sock)
            while self._client.socket() is not None:
                self._client.begin(self._generation)  # what has arrived comes again, with the session
                self._client.loop_read()

    def _await_connack(self) -> Greeting:
        hint = NO_MQTT_5 if self._settings.mqtt_version == "5" else ""
        end = self._clock.steady() + _ANSWER_SECONDS
        while self._connack is None:
            if self._client.socket() is None:
                raise ConnectionFailed(f"the broker did not answer CONNECT: {self._ended}{hint}")
            if self._clock.steady() > end or self._shutdown.requested:
                self.abort()
                raise ConnectionFailed(f"the broker did not answer CONNECT in time{hint}")
            self._flush()
            self._wait(1.0)
            self._client.loop_read()
        flags, reason, properties = self._connack
        if reason.is_failure:
            self.abort()
            self._connack = None
            raise ConnectionFailed(explain_refusal(reason))
        return Greeting(session_present=flags.session_present, properties=properties)

    def _begin(self, greeting: Greeting) -> None:
        greeting.report(self._settings, first=self._generation == 1)
        present = greeting.session_present
        self._ledger.recall()
        if not present and self._ledger.known:
            _log.warning(
                "The broker has lost this listener's session, and the messages that it had queued (has the session expired?)"
            )
        greeting.repeated = self._ledger.begin(session_present=present)
        self._on_begin(greeting)
        former = [name for name in self._queue.names() if name not in self._names]
        numbers = identifiers([*self._names, *former])
        self._client.route(Router(self._names, former, numbers))
        usable = self._settings.mqtt_version == "5" and greeting.takes_identifiers
        self._subscriptions.start(
            numbers=numbers if usable else {}, unavailable=greeting.unavailable(self._ledger.wanted)
        )
        self._departure.begin(session_present=present)
        self._gathers = present and self._settings.duplicates == "session"
        self._flush()

    def _keep_subscriptions(self) -> None:
        """Act on what the broker answered, before anything more is read: nothing in hand is lost if the store fails."""
        self._subscriptions.settle()
        if self._subscriptions.overdue:
            self.abort()
            raise ConnectionLost("the broker did not answer SUBSCRIBE in time")
        self._subscriptions.ask_again()

    def _wait(self, timeout: float) -> None:
        sock: Any = self._client.socket()
        if sock is not None and not self._client.undecoded and not sockets.pending(sock):
            writers = [sock] if self._client.want_write() else []
            select.select([sock, self._shutdown], writers, [], timeout)

    def _read(self, *, hold: float = 0.0) -> None:
        """Read until the batch is full, nothing is left, or its time is over: then its commit begins.

        For ``hold`` seconds, wait for more.
        """
        began = self._clock.steady()
        end = began + max(_LONGEST_READ, hold)
        while self._client.has_room and not self._client.loop_read() and self._clock.steady() < end:
            sock: Any = self._client.socket()
            if sock is None:
                return
            if not (self._client.undecoded or sockets.pending(sock)):
                patience = max(0.0, began + hold - self._clock.steady())
                if not select.select([sock, self._shutdown], [], [], patience)[0] or self._shutdown.requested:
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
        self._explained = True
        if reason.value == _TAKEN_OVER:
            self._ended = f"another client has connected with the same client id {self._client_id}: set FMQ_CLIENT_ID"
        elif flags.is_disconnect_packet_from_server:
            self._ended = f"the broker closed it: {reason.getName()}"
        else:
            self._ended = "the connection closed without a reason from the broker"
            self._explained = False

    def _on_socket_close(self, _client: Client, _userdata: object, sock: Any) -> None:  # noqa: ANN401 - one of paho's three kinds
        if self._leaving:
            sockets.linger(sock)
