"""Makes and prints what commands print with --json."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from fmq.cli.common.shapes import (
    MessageShape,
    NextRetry,
    PageShape,
    Paused,
    QueueShape,
    Rates,
    RouteShape,
    SetAsideShape,
    StoreShape,
)
from fmq.message import DeadLetter, Message, QueueStats, StoreStats, Waiting
from fmq.message_json import message_fields
from fmq.service.reporting.routes import RouteState


def time_of(at: float | None) -> str | None:
    """Unix seconds as a Time. None for None, and for a number that is not a date."""
    if at is None:
        return None
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None


def queue_shape(
    stats: QueueStats,
    retry: tuple[int, Waiting] | None = None,
    aside: Mapping[str, int] | None = None,
    rates: tuple[float, float] | None = None,
) -> QueueShape:
    """The shape of a queue's counters.

    ``retry`` is the message that is tried next, ``aside`` counts messages by the route that they wait for, ``rates`` are those in and
    out.
    """
    return QueueShape(
        queue=stats.name,
        pending=stats.pending,
        claimed=stats.claimed,
        done=stats.done,
        dead=stats.dead,
        stored=stats.stored,
        handled=stats.handled,
        failed=stats.failed,
        died=stats.died,
        oldest_pending_at=time_of(stats.oldest_pending_at),
        paused=Paused(time_of(stats.paused.since), stats.paused.reason) if stats.paused else None,
        next_retry=NextRetry(retry[0], retry[1].due_in, retry[1].reason) if retry else None,
        set_aside=[SetAsideShape(route or None, count) for route, count in (aside or {}).items()],
        rates=Rates(*rates) if rates else None,
    )


def route_shape(processor: str, route: RouteState) -> RouteShape:
    """The shape of a route of the service ``processor``."""
    return RouteShape(
        processor=processor,
        route=route.name,
        queues=list(route.queues),
        topics=list(route.topics),
        handler=route.handler,
        circuit=route.circuit,
        rate=route.rate or None,
        in_progress=route.in_hand,
    )


def store_shape(stats: StoreStats) -> StoreShape:
    """The shape of a store's sizes."""
    return StoreShape(stats.database_bytes, stats.wal_bytes, stats.free_disk_bytes)


def message_shape(message: Message, waits: Waiting | None) -> MessageShape:
    """The shape of a pending message; ``waits`` is None if it was taken or settled meanwhile."""
    return MessageShape(
        **_common(message),
        state="pending",
        due_in=waits.due_in if waits else None,
        dead_at=None,
        reason=waits.reason if waits else "",
    )


def letter_shape(letter: DeadLetter) -> MessageShape:
    """The shape of a dead letter."""
    return MessageShape(
        **_common(letter.message), state="dead", due_in=None, dead_at=time_of(letter.dead_at), reason=letter.reason
    )


def _common(message: Message) -> dict[str, Any]:
    return {"payload_base64": None, **message_fields(message), "received_at": time_of(message.received_at)}


def print_shape(shape: Any, *, in_one_line: bool = False) -> None:  # noqa: ANN401 - one of SHAPES
    """Print what a command answers."""
    click.echo(json.dumps({"command": shape.command, **asdict(shape)}, indent=None if in_one_line else 2))


def print_page(page: PageShape, messages: Iterable[MessageShape]) -> None:
    """Print a page whose messages come one by one, each in a line of its own: they may be too large to hold all of them."""
    head = json.dumps({**asdict(page), "messages": []}).removesuffix("]}")
    click.echo(head, nl=False)
    between = "\n"
    for message in messages:
        click.echo(f"{between}{json.dumps(asdict(message))}", nl=False)
        between = ",\n"
    click.echo("]}")
