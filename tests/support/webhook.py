"""A webhook handler without a processor around it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.message import NO_PROPERTIES, Message, Properties
from fmq.outcome import Reject, Retry
from fmq.service.environment import load
from fmq.service.settings import variable
from fmq_processor.handlers.webhook.handler import WebhookHandler
from fmq_processor.handlers.webhook.settings import WebhookSettings
from support.target import Connection, Request, Target

STORE = UUID("00000000-0000-4000-8000-000000000001")


def message(
    payload: bytes = b"21.5",
    *,
    number: int = 1,
    topic: str = "sensors/1/temp",
    received_at: float = 1_764_000_000.25,
    properties: Properties = NO_PROPERTIES,
) -> Message:
    return Message(number, "sensors/+/temp", topic, payload, received_at, retry_count=2, properties=properties)


def make_handler(
    url: str,
    *,
    registry: CollectorRegistry | None = None,
    clock: Clock = SYSTEM_CLOCK,
    **settings: Any,  # noqa: ANN401 - each is made a string
) -> WebhookHandler:
    """``settings`` by their names without ``webhook_``."""
    environ = {variable(f"webhook_{name}"): str(value) for name, value in {"url": url, **settings}.items()}
    handler = WebhookHandler(load(WebhookSettings, {}, environ), registry or CollectorRegistry(), clock=clock)
    handler.know_store(STORE)
    return handler


def deliver(handler: WebhookHandler, *messages: Message) -> list[Exception | None]:
    """What became of messages that were delivered one after the other, over one pool of connections."""

    async def run() -> list[Exception | None]:
        await handler.setup()
        try:
            return [await outcome(handler.handle(one)) for one in messages]
        finally:
            await handler.teardown()

    return asyncio.run(run())


async def outcome(delivery: Awaitable[None]) -> Exception | None:
    """None, or what it raised."""
    try:
        await delivery
    except Exception as error:  # noqa: BLE001 - that is what is asked
        return error
    return None


def always(status: str, *headers: str, body: bytes = b"") -> Callable[[Request, Connection], Awaitable[None]]:
    async def respond(_: Request, connection: Connection) -> None:
        await connection.answer(status, *headers, body=body)

    return respond


def result_of(target: Target, **settings: Any) -> Exception | None:  # noqa: ANN401 - as make_handler
    (result,) = deliver(make_handler(target.url, **settings), message())
    return result


def kind_and_reason(error: Exception | None) -> tuple[type, str]:
    assert isinstance(error, Retry | Reject)
    return type(error), error.reason
