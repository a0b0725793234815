"""Publishes stored messages again, to the broker of FMQ_BROKER_URL."""

import logging
import secrets
import threading
from collections import deque
from contextlib import suppress
from http import HTTPStatus

from paho.mqtt import MQTTException
from paho.mqtt.reasoncodes import ReasonCode

from fmq.errors import QueueError, SettingsError
from fmq.mqtt.connection import Connection, Target
from fmq.mqtt.packets import Packet, make_packet, publish_properties
from fmq.outcome import Unavailable
from fmq.service.broker.settings import tls_files
from fmq.service.broker.url import BrokerUrl
from fmq.store.roles import Store
from fmq.text import plain
from fmq_web.answers.messages import Publication
from fmq_web.http.problems import Problem, conflict, not_found
from fmq_web.settings import WebSettings
from fmq_web.views.sentences import called

_log = logging.getLogger(__name__)
_ACK_SECONDS = 30.0
_TURN_SECONDS = 2.0
_MOST_FORMS = 1_000
_NOBODY = 0x10
_REFUSALS = {
    0x80: "it gives no reason",
    0x83: "by a rule of its own",
    0x87: "its access rules do not let this user publish on this topic",
    0x90: "it does not accept this topic",
    0x91: "it still uses the packet's identifier",
    0x97: "a quota is used up; try again later",
    0x99: "the payload is not in the format that its property says",
}
"""PUBACK's and PUBREC's reason codes (MQTT 5, sections 3.4.2.1 and 3.5.2.1)."""


class Publisher:
    """One publication at a time, each on a connection of its own, since a message may be large. For any thread.

    Raises SettingsError for certificates that can't be used.
    """

    def __init__(self, settings: WebSettings, broker: BrokerUrl, *, ack_seconds: float = _ACK_SECONDS) -> None:
        """``ack_seconds`` is how long the broker may take to receive and acknowledge a message."""
        tls = tls_files(settings)
        if broker.tls:
            tls.context()
        self.broker = broker
        self._version = settings.mqtt_version
        self._target = Target(broker, self._version, lambda: settings.access_to(broker), tls, ack_seconds=ack_seconds)
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._closed = False
        self._forms: deque[str] = deque(maxlen=_MOST_FORMS)

    def new_form(self) -> str:
        """A mark for a form, so that a second click publishes nothing."""
        return secrets.token_urlsafe(12)

    def is_first(self, form: str) -> bool:
        """Whether the form with this mark has not been sent before."""
        with self._lock:
            if form in self._forms:
                return False
            self._forms.append(form)
            return True

    def publish(self, store: Store, caller_name: str, queue: str, number: int, *, retain: bool) -> Publication:
        """Publish a message as it came, and wait until the broker has acknowledged it. Changes nothing about the message.

        Problem 404: the message does not exist (any more). 409: it can't be published, or the broker refused it. 503: another
        message is being published, or the broker was not reached; nothing was published. 504: the broker may have got it.
        Raises UnknownQueue and other QueueErrors.
        """
        if not self._turn.acquire(timeout=_TURN_SECONDS):
            raise _unavailable("Another message is being published. Try again in a moment.")
        try:
            packet = self._packet(store, queue, number, retain=retain)
            selection = f"id {number}, retained" if retain else f"id {number}"
            action = store.begin_action(actor=caller_name, kind="publish", queue=queue, selection=selection)
            published = 0
            try:
                answer = self._send(packet)
                published = 1
            finally:
                with suppress(QueueError):  # what ended the action says more
                    store.end_action(action, changed=published)
        finally:
            self._turn.release()
        _log.info("%s published message %d of queue %s again", plain(caller_name), number, called(queue))
        return answer

    def check(self) -> None:
        """Connect to the broker and disconnect. Raises Unavailable with the reason, SettingsError."""
        connection = Connection(self._target)
        try:
            connection.open()
        finally:
            connection.close()

    def close(self) -> None:
        """End a publication that is going on, and publish nothing more."""
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.cut("the web page stops")

    def _packet(self, store: Store, queue: str, number: int, *, retain: bool) -> Packet:
        found = store.detail(queue, number, head_bytes=0)
        # Not the whole message: a payload that is read as a part is in memory once.
        payload = None if found is None else store.payload(queue, number, 0, found.head.size)
        if found is None or payload is None:
            raise not_found(f"Message {number} is not in this queue any more.")
        kept = found.properties
        if kept.raw is not None:
            raise conflict("Its properties could not be parsed when it came, so nobody can publish it as it was.")
        # At least QoS 1, since with QoS 0 a broker acknowledges nothing.
        qos = max(1, found.head.qos)
        try:
            properties = publish_properties(kept, expiry=kept.message_expiry_interval) if self._version == "5" else b""
            return make_packet(found.head.topic, payload, retain=retain, properties=properties, qos=qos)
        except (MQTTException, ValueError):  # whose texts show contents
            raise conflict("Its topic or one of its properties is not valid in MQTT, so no broker takes it.") from None

    def _send(self, packet: Packet) -> Publication:
        try:
            connection = Connection(self._target)
        except SettingsError as error:
            raise _unavailable(f"{error}.") from None
        with self._lock:
            if self._closed:
                raise _unavailable("The server stops. Try again when it is back.")
            self._connection = connection
        try:
            connection.open()
            answer = self._answer(connection, packet)
        except Unavailable as error:
            raise _unavailable(f"Nothing was published: {error.reason}.") from None
        finally:
            with self._lock:
                self._connection = None
            connection.close()
        return Publication(
            broker=str(self.broker),
            topic=packet.topic,
            qos=min(packet.qos, connection.largest_qos),
            retained=packet.retain,
            with_properties=self._version == "5",
            nobody_subscribes=answer.value == _NOBODY,
        )

    def _answer(self, connection: Connection, packet: Packet) -> ReasonCode:
        """The acknowledgement. Raises Problem if there is none, or if it refuses."""
        if packet.size > connection.largest:
            raise conflict(
                f"The message has {packet.size:,} bytes, and the broker takes {connection.largest:,} at most."
            )
        if packet.retain and not connection.retains:
            raise conflict("The broker keeps no retained messages. Publish it without retain.")
        (answer,) = connection.send([packet])
        if answer is None:
            raise Problem(
                HTTPStatus.GATEWAY_TIMEOUT,
                f"The broker has not acknowledged the message: {connection.ended}. "
                "It may have got it, so look there before you publish it again.",
            )
        if answer.is_failure:
            why = _REFUSALS.get(answer.value, "for another reason")
            raise conflict(f"The broker refused the message: {why} ({answer}, {answer.value}).")
        return answer


def required(publisher: Publisher | None) -> Publisher:
    """The publisher. Raises Problem 409 without a broker."""
    if publisher is None:
        raise conflict("This page knows no broker. Set FMQ_BROKER_URL for fmq web, and start it again.")
    return publisher


def _unavailable(detail: str) -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "5"})
