"""Sends each message as a request. The answer decides the outcome."""

from typing import ClassVar
from uuid import UUID

from prometheus_client import CollectorRegistry

import fmq
from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.message import Message, unique_id
from fmq.service.reporting.certificates import CertificateCollector
from fmq.service.settings import HandlerSettings
from fmq.service.tls import TlsFiles
from fmq_processor.handlers.webhook import envelope
from fmq_processor.handlers.webhook.client import Client
from fmq_processor.handlers.webhook.cloudevents import Events
from fmq_processor.handlers.webhook.metrics import WebhookMetrics
from fmq_processor.handlers.webhook.policy import is_good, judge
from fmq_processor.handlers.webhook.settings import WebhookSettings
from fmq_processor.handlers.webhook.signature import sign, webhook_id


class WebhookHandler:
    """Sends messages to an HTTP server. See docs/handlers/webhook.md."""

    Settings: ClassVar[type[HandlerSettings]] = WebhookSettings

    def __init__(self, settings: WebhookSettings, registry: CollectorRegistry, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._settings = settings
        self._clock = clock
        self._headers = {"user-agent": f"fmq/{fmq.__version__}", "accept-encoding": "identity"}
        self._more_headers = dict(settings.webhook_headers)
        self._is_signed = settings.webhook_secrets is not None
        tls = TlsFiles(
            "FMQ_WEBHOOK",
            ca_file=settings.webhook_ca_file,
            cert_file=settings.webhook_cert_file,
            key_file=settings.webhook_key_file,
        )
        tls.context()  # refuses wrong files at the start
        registry.register(CertificateCollector(tls.certificates))
        self._client = Client(settings, tls, WebhookMetrics(registry))
        self._store: UUID

    def know_store(self, store: UUID) -> None:
        """Take the identity of the store that the messages come from."""
        self._store = store
        events = Events(
            event_type=self._settings.webhook_event_type,
            source=self._settings.webhook_event_source or store.urn,
        )
        self._wrap = {
            "raw": envelope.raw,
            "json": envelope.as_json,
            "cloudevents": events.structured,
            "cloudevents-binary": events.binary,
        }[self._settings.webhook_body]

    async def setup(self) -> None:
        """Open the client."""
        await self._client.start()

    async def handle(self, message: Message) -> None:
        """Deliver a message. Raises Unavailable, Retry or Reject if that did not succeed."""
        unique = unique_id(self._store, message)
        body, of_body = self._wrap(message, unique)
        identity, now = webhook_id(unique), self._clock.wall()
        headers = {
            **self._headers,
            **of_body,
            **envelope.about(message),
            **self._more_headers,
            "webhook-id": identity,
            "webhook-timestamp": str(int(now)),
        }
        if self._is_signed:
            keys = self._settings.keys
            headers["webhook-signature"] = sign(keys, identity=identity, timestamp=int(now), body=body)
        answer = await self._client.send(body, headers)
        if not is_good(answer.status):
            judge(
                answer,
                now=self._clock.wall(),
                longest=self._settings.webhook_retry_after_maximum,
                known=self._settings.known,
            )

    async def teardown(self) -> None:
        """Close all connections."""
        await self._client.close()
