"""`fmq try`: runs a handler on one message."""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from prometheus_client import CollectorRegistry

from fmq.cli.common.json_output import print_shape
from fmq.cli.common.numbers import Count
from fmq.cli.common.output import say
from fmq.cli.common.parameters import QUEUE
from fmq.cli.common.shapes import LogShape, TryShape
from fmq.cli.main import settings_options
from fmq.errors import UnknownMessage
from fmq.message import Message
from fmq.outcome import Dead, Done, RetryLater
from fmq.service.log import configure
from fmq.store.backends import open_store
from fmq.store.options import Durability
from fmq.testing import Result, message
from fmq.text import plain_lines
from fmq.topics import matches
from fmq_processor.handler_loading import choose, handler_options
from fmq_processor.help import TryCommand
from fmq_processor.routes import MAIN, Route, load_routes
from fmq_processor.routing.owners import Claimant, Owners
from fmq_processor.settings import ProcessorSettings
from fmq_processor.trying.engine import ABOUT_HANDLERS, run_messages

_EXIT_CODES = {"done": 0, "retry": 5, "dead": 6, "skipped": 7}
_SETTINGS = {
    "queue_url",
    "handler_timeout",
    "max_retries",
    "backoff_initial",
    "backoff_maximum",
    "decode",
    "decode_bytes",
    "filter",
    "log_level",
}


@click.command("try", cls=TryCommand, short_help="Run a handler on one message and see the outcome.")
@click.argument("handler", required=False)
@click.option("--payload", metavar="TEXT|@FILE|-", help="The payload: text, the contents of a file, or standard input.")
@click.option("--topic", default=None, help="The topic. Default: test, or the queue.")
@click.option(
    "--queue",
    type=QUEUE,
    default=None,
    help="The queue. Default: that of the topic.",
)
@click.option("--qos", type=Count(0, 2), default=1, show_default=True, help="The QoS.")
@click.option("--retain", is_flag=True, help="Set the retain flag.")
@click.option("--content-type", default=None, help="The MQTT 5 content type.")
@click.option("--user", "pairs", metavar="NAME=VALUE", multiple=True, help="An MQTT 5 user property. May be repeated.")
@click.option(
    "--message", "number", type=int, default=None, help="ID of a stored message of --queue to use, in any state."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (docs/cli.schema.json).")
@settings_options(ProcessorSettings, but=tuple(set(ProcessorSettings.model_fields) - _SETTINGS))
@handler_options
def try_(
    handler: str | None,
    *,
    payload: str | None,
    topic: str | None,
    queue: str | None,
    qos: int,
    retain: bool,
    content_type: str | None,
    pairs: tuple[str, ...],
    number: int | None,
    as_json: bool,
    **flags: object,
) -> int:
    """Run HANDLER on one message, as a processor does: decoder, filter, types, timeout. Nothing is stored.

    HANDLER is a built-in or package.module:function. Default: that of the route of fmq.toml that has the message, or FMQ_HANDLER. It
    really does its work. A stored message stays as it is, and is tried as if for the first time.

    Exit codes: 0 done, 5 retry, 6 dead letter, 7 skipped by the filter or expired; 1 the handler can't be set up,
    2 invalid settings, 3 the store can't be used, 4 no such message.
    """
    settings, routes = _load(handler, flags, before_import=_log_to_people(quiet=as_json))
    if number is not None:
        if queue is None or payload is not None:
            raise click.UsageError("--message needs --queue, and no --payload")
        given, store = _stored(settings, queue, number)
    elif payload is None:
        raise click.UsageError("Give --payload TEXT, --payload @FILE or --payload - (or --message with --queue)")
    else:
        if topic and {"+", "#"} & set(topic.split("/")):
            raise click.BadParameter(
                f"{topic!r}: the topic of a message has no wildcards; --queue takes a filter", param_hint="--topic"
            )
        topic = topic or queue or "test"
        queue = queue or _queue_of(routes, topic)
        properties: dict[str, Any] = {"content_type": content_type, "user": dict(map(_pair, pairs))}
        given = message(_read(payload), topic=topic, queue=queue, qos=qos, retain=retain, **properties)
        store = UUID(int=0)
    choice = (routes[0] if handler else _route_of(routes, given)).choice
    with redirect_stdout(sys.stderr):  # what the handler prints does not mix with the outcome
        (result,), hangs = run_messages(choice.make(CollectorRegistry()), choice.processor, [given], store=store)
    shape = _shape(result)
    if as_json:
        print_shape(shape)
    else:
        say(_sentence(shape))
        if lines := (shape.reason or "").split("\n")[1:]:
            click.echo(plain_lines("\n".join(lines)))
    code = _EXIT_CODES[shape.outcome]
    if hangs:  # the call can't be stopped; nothing that Python does at the end may wait for it
        sys.stdout.flush()
        logging.shutdown()
        os._exit(code)
    return code


def _log_to_people(*, quiet: bool) -> Callable[[ProcessorSettings], None]:
    """Log as text to standard error, or not at all if the output has the log."""

    def set_up(settings: ProcessorSettings) -> None:
        configure(service="processor", level=settings.log_level, style="text", subject="try")
        if quiet:
            logging.getLogger().handlers[:] = [logging.NullHandler()]
        for name in ("fmq", "fmq_processor"):  # the progress of the engine is the outcome that is printed
            logging.getLogger(name).setLevel(logging.ERROR)
        for name in ABOUT_HANDLERS:
            logging.getLogger(name).setLevel(settings.log_level)

    return set_up


def _load(
    handler: str | None, flags: dict[str, object], *, before_import: Callable[[ProcessorSettings], None]
) -> tuple[ProcessorSettings, Sequence[Route]]:
    """The settings and the routes of a processor, or one route for the handler that is named."""
    if handler is None:
        return load_routes(flags, os.environ, before_import=before_import)
    settings, choice = choose({**flags, "handler": handler}, os.environ, before_import=before_import)
    return settings, [Route(MAIN, settings, choice)]


def _queue_of(routes: Sequence[Route], topic: str) -> str:
    """The first queue of the routes whose topic filter matches, or the topic itself."""
    queues = (queue for route in routes for queue in route.settings.queues)
    return next((queue for queue in queues if matches(queue.split("/"), topic)), topic)


def _route_of(routes: Sequence[Route], given: Message) -> Route:
    """The route that has a message. The only one of a file without routes has all."""
    if [route.choice.where for route in routes] == [""]:
        return routes[0]
    owners = Owners([Claimant(route.name, route.settings.queues, route.topics) for route in routes])
    number = owners.owner(given.queue, given.topic)
    if number is not None:
        return routes[number]
    raise click.UsageError(
        f"No route takes a message of the queue {given.queue!r} with the topic {given.topic!r}. Give HANDLER, or --queue and "
        f"--topic of one of the routes: {', '.join(route.name for route in routes)}"
    )


def _stored(settings: ProcessorSettings, queue: str, number: int) -> tuple[Message, UUID]:
    """A message of the store, as for its first attempt, and the store's identity."""
    options = settings.model_copy(update={"check_integrity": False}).store_options(Durability.NORMAL)
    with open_store(settings.queue_url, options, create=False) as store:
        found = store.messages(queue, [number])
        if not found:
            raise UnknownMessage(f"{queue} has no message {number}: fmq peek and fmq dead list show which it has")
        return found[0]._replace(retry_count=0), store.identity()


def _read(payload: str) -> bytes:
    if payload == "-":
        return sys.stdin.buffer.read()
    if not payload.startswith("@"):
        return payload.encode(errors="surrogateescape")
    try:
        return Path(payload[1:]).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"{payload[1:]!r} can't be read ({error.strerror})", param_hint="--payload") from error


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"Invalid user property {text!r}: expected NAME=VALUE", param_hint="--user")
    return name, value


def _shape(result: Result) -> TryShape:
    seconds, logs = result.seconds, [LogShape(one.levelname, one.name, one.getMessage()) for one in result.logs]
    match result.outcome:
        case Done():
            return TryShape("done" if result.is_handled else "skipped", seconds, logs)
        case Dead(reason, cause):
            return TryShape("dead", seconds, logs, reason=reason, cause=cause)
        case RetryLater(delay, reason, cause):
            return TryShape("retry", seconds, logs, delay, reason, cause)


def _sentence(shape: TryShape) -> str:
    reason = (shape.reason or "").partition("\n")[0]
    match shape.outcome:
        case "done":
            return f"Done in {shape.seconds:.3f} s"
        case "skipped":
            return "Skipped: the filter does not let the message through, or it has expired"
        case "dead":
            return f"Dead letter after {shape.seconds:.3f} s: {reason}"
        case "retry":
            return f"Retry in {shape.delay:.1f} s, after {shape.seconds:.3f} s: {reason}"
