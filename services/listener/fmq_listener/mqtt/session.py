"""One session with the broker, over as many connections as it takes.

Everything happens in the thread that calls: paho runs without a thread of its own, and its callbacks only take note.
"""

import logging
from collections.abc import Callable, Mapping

from paho.mqtt.client import Client, ConnectFlags
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fmq.certificates import expiries
from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.errors import FmqError, SettingsError
from fmq.service.broker.client import explain_error
from fmq.service.lifecycle import Shutdown
from fmq.service.resolving import Resolver
from fmq.store.roles import Store
from fmq_listener.filters import Router, identifiers
from fmq_listener.mqtt.connection import hint_of_silence, make_listening_client, open_connection
from fmq_listener.mqtt.departure import Departure
from fmq_listener.mqtt.greeting import Greeting
from fmq_listener.mqtt.link import Link
from fmq_listener.mqtt.packets.batch import Batch
from fmq_listener.mqtt.refusals import explain_refusal
from fmq_listener.mqtt.subscriptions.ledger import Ledger
from fmq_listener.mqtt.subscriptions.requests import Subscriptions
from fmq_listener.settings import ListenerSettings

_log = logging.getLogger(__name__)
_CONNACK_SECONDS = 10.0
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
        store: Store,
        shutdown: Shutdown,
        clock: Clock = SYSTEM_CLOCK,
        leave: bool = False,
        on_begin: Callable[[Greeting], None] = lambda _: None,
        on_subscribe_again: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_begin`` is called on every new connection, before its first message, and ``on_subscribe_again`` when a
        SUBSCRIBE goes out later on the same one.

        With ``leave``, read what the session still holds, then take back every subscription.
        """
        self._settings = settings
        self._store = store
        self._shutdown = shutdown
        self._resolver = Resolver(shutdown)
        self._clock = clock
        self._on_begin = on_begin
        self._on_subscribe_again = on_subscribe_again
        self._names = tuple(one.name for one in settings.filters)
        self._generation = 0
        self._connack: tuple[ConnectFlags, ReasonCode, Properties | None] | None = None
        self._gathers = False
        v5 = settings.mqtt_version == "5"
        self._client = client = make_listening_client(settings, client_id)
        self._link = Link(client, shutdown, client_id=client_id, clock=clock)
        client.on_connect = self._on_connect
        # The broker is part of the key: another one knows nothing of what this one was asked.
        key = f"subscriptions:{client_id}@{settings.broker.host}:{settings.broker.port}"
        wanted, unwanted = ((), settings.filters) if leave else (settings.filters, ())
        self._ledger = Ledger(wanted, notes=store, key=key, unwanted=unwanted)
        self._subscriptions = Subscriptions(client, self._ledger, v5=v5, clock=clock)
        self._departure = Departure(client, self._ledger, clock=clock, seconds=settings.leave_seconds, last=leave)

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

    def certificates(self) -> Mapping[str, float]:
        """Unix time at which each certificate of the connection expires: of the broker as it last showed it, and of the files."""
        files = expiries(client=self._settings.tls_cert_file, ca=self._settings.tls_ca_file)
        brokers = self._link.certificate_ends
        return files if brokers is None else {**files, "broker": brokers}

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
        self._connack = None
        self._link.begin(self._generation)
        self._subscriptions.reset()
        try:
            self._resolver.require(self._settings.broker.host, self._settings.broker.port)
            open_connection(self._client, self._settings)
        except (OSError, ValueError) as error:
            raise ConnectionFailed(explain_error(error)) from error
        except SettingsError as error:
            raise ConnectionFailed(str(error)) from error
        self._begin(self._await_connack())

    def poll(self, timeout: float) -> Batch:
        """What has arrived; waits up to ``timeout`` seconds for it to begin, or for the shutdown.

        Everything that was handed over before has to be acknowledged by now. Raises ConnectionLost when the connection
        has ended and everything read from it was handed over, LeaveInDoubt where messages might be lost by leaving.
        """
        if self._client.socket() is not None:
            self._keep_subscriptions()
            self._departure.step()
            self._link.flush()
            self._link.wait(min(timeout, self._departure.wait))
            self._link.read(hold=self._departure.hold())
            if self._gathers and self._client.starts_anew:
                self._link.read(hold=_GATHER_SECONDS)
            self._gathers = self._gathers and not self._client.received
            self._client.loop_misc()
            self._link.flush()
        batch = self._client.take()
        self._departure.gathered(batch)
        if not batch and self._client.socket() is None:
            self._subscriptions.settle()
            blame = self._subscriptions.blame
            self._subscriptions.ended()
            raise ConnectionLost(self._link.ended + blame, explained=self._link.explained or bool(blame))
        return batch

    def acknowledge(self, batch: Batch) -> int:
        """Send the answers to a stored batch in order of arrival; returns how many PUBACKs and PUBRECs.

        Returns 0 if its connection has ended: packet ids are used again, and would acknowledge another message.
        """
        self._client.stored(batch)
        if batch.generation != self._generation or self._client.socket() is None:
            return 0
        self._client.acknowledge(batch)
        self._link.flush()
        return len(batch.packet_ids)

    def close(self, seconds: float) -> None:
        """Send what waits to be sent, then DISCONNECT; gives up after ``seconds``."""
        self._link.close(seconds)

    def _await_connack(self) -> Greeting:
        silence = hint_of_silence(self._settings)
        end = self._clock.steady() + _CONNACK_SECONDS
        while self._connack is None:
            if self._client.socket() is None:
                hint = "" if self._client.said.asks else silence
                raise ConnectionFailed(f"the broker did not answer CONNECT: {self._link.ended}{hint}")
            if self._clock.steady() > end or self._shutdown.requested:
                self._link.abort()
                raise ConnectionFailed(f"the broker did not answer CONNECT in time{silence}")
            self._link.flush()
            self._link.wait(1.0)
            self._client.loop_read()
        flags, reason, properties = self._connack
        if reason.is_failure:
            self._link.abort()
            self._connack = None
            raise ConnectionFailed(explain_refusal(reason, self._client.said))
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
        former = [name for name in self._store.names() if name not in self._names]
        numbers = identifiers([*self._names, *former])
        self._client.route(Router(self._names, former, numbers))
        usable = self._settings.mqtt_version == "5" and greeting.takes_identifiers
        self._subscriptions.start(
            numbers=numbers if usable else {}, unavailable=greeting.unavailable(self._ledger.wanted)
        )
        self._departure.begin(session_present=present)
        self._gathers = present and self._settings.duplicates == "session"
        self._link.flush()

    def _keep_subscriptions(self) -> None:
        """Act on what the broker answered, before anything more is read: nothing in hand is lost if the store fails."""
        self._subscriptions.settle()
        if self._subscriptions.overdue:
            self._link.abort()
            self._subscriptions.ended()
            raise ConnectionLost("the broker did not answer SUBSCRIBE in time")
        if self._subscriptions.ask_again():
            self._on_subscribe_again()

    def _on_connect(
        self, _client: Client, _userdata: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._connack = (flags, reason, properties)
