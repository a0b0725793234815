"""A pool of connections to the broker: one for each batch in flight, kept for the next batch."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fmq.mqtt.connection import Connection, Target
from fmq.service.tls import TlsFiles, TlsGreeting
from fmq_processor.handlers.mqtt.metrics import MqttMetrics
from fmq_processor.handlers.mqtt.settings import TLS, MqttSettings

_log = logging.getLogger(__name__)


class Connections:
    """Lends connections; those that have ended are replaced. Raises SettingsError on files that can't be used."""

    def __init__(self, settings: MqttSettings, metrics: MqttMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        tls = TlsFiles(
            TLS,
            ca_file=settings.mqtt_tls_ca_file,
            cert_file=settings.mqtt_tls_cert_file,
            key_file=settings.mqtt_tls_key_file,
            greeting=TlsGreeting(settings.mqtt_tls_server_name, settings.mqtt_tls_alpn),
        )
        if settings.broker.tls:
            tls.context()
        self.certificates = tls.certificates
        self._target = Target(
            settings.broker,
            settings.mqtt_protocol,
            lambda: settings.access,
            tls,
            setting="FMQ_MQTT_URL",
            ack_seconds=settings.mqtt_ack_seconds,
            inflight=settings.mqtt_inflight,
            keepalive_seconds=settings.mqtt_keepalive_seconds,
        )
        self._lock = threading.Lock()
        self._idle: list[tuple[int, Connection]] = []
        self._lent: dict[int, Connection] = {}
        metrics.connected.set_function(
            lambda: sum(not one.ended for one in (*self._lent.values(), *(one for _, one in self._idle)))
        )

    @contextmanager
    def borrow(self) -> Iterator[Connection]:
        """A connection that is up, or was a moment ago. Raises Unavailable."""
        number, connection = self._take()
        try:
            yield connection
        except BaseException:
            connection.ended = connection.ended or "it was given up"
            raise
        finally:
            with self._lock:
                del self._lent[number]
                if not connection.ended:
                    self._idle.append((number, connection))
            if connection.ended:
                connection.close()

    def close(self) -> None:
        """End all of them, lent ones too."""
        with self._lock:
            everyone = [*self._lent.values(), *(one for _, one in self._idle)]
            self._idle.clear()
        for connection in everyone:
            connection.close()

    def _take(self) -> tuple[int, Connection]:
        ended = []
        with self._lock:
            while self._idle:
                number, connection = self._idle.pop()
                if not connection.ended:
                    self._lent[number] = connection
                    return number, connection
                ended.append(connection)
            used = {*self._lent, *(number for number, _ in self._idle)}
            number = next(one for one in range(1, len(used) + 2) if one not in used)
            connection = Connection(self._target, self._client_id(number))
            self._lent[number] = connection
        for one in ended:
            _log.warning("Connection to %s lost: %s", self._settings.broker, one.ended)
            one.close()
        try:
            connection.open()
        except BaseException:
            with self._lock:
                del self._lent[number]
            raise
        self._metrics.connections.inc()
        return number, connection

    def _client_id(self, number: int) -> str:
        base = self._settings.mqtt_client_id or ""
        return f"{base}-{number}" if base and number > 1 else base
