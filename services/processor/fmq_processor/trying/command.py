"""`fmq try`: runs a handler on one message."""

import logging
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from prometheus_client import CollectorRegistry

from fmq.cli.common.json_output import print_shape
from fmq.cli.common.output import say
from fmq.cli.common.parameters import QUEUE
from fmq.cli.common.shapes import LogShape, TryShape
from fmq.cli.main import settings_options
from fmq.errors import UnknownMessage
from fmq.message import Message
from fmq.outcome import Dead, Done
from fmq.service.log import configure
from fmq.store.backends import open_store
from fmq.store.options import Durability
from fmq.testing import Result, message
from fmq.text import plain_lines
from fmq_processor.handler_loading import choose, handler_options
from fmq_processor.help import TryCommand
from fmq_processor.settings import ProcessorSettings
from fmq_processor.trying.engine import ABOUT_HANDLERS, run_messages

EXIT_RETRY, EXIT_DEAD, EXIT_SKIPPED = 5, 6, 7
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
@click.option("--queue", type=QUEUE, default=None, help="The queue. Default: the topic.")
@click.option("--qos", type=click.IntRange(0, 2), default=1, show_default=True, help="The QoS.")
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

    HANDLER is a built-in or package.module:function; default: FMQ_HANDLER. It really does its work. A stored message stays as it
    is, and is tried as if for the first time.

    Exit codes: 0 done, 5 retry, 6 dead letter, 7 skipped by the filter or expired; 1 the handler can't be set up,
    2 invalid settings, 3 the store can't be used, 4 no such message.
    """
    settings, choice = choose({**flags, "handler": handler}, os.environ, before_import=_log_to_people(quiet=as_json))
    if number is not None:
        if queue is None or payload is not None:
            raise click.UsageError("--message needs --queue, and no --payload")
        given, store = _stored(settings, queue, number)
    elif payload is None:
        raise click.UsageError("Give --payload TEXT, --payload @FILE or --payload - (or --message with --queue)")
    else:
        topic = topic or queue or "test"
        properties: dict[str, Any] = {"content_type": content_type, "user": dict(map(_pair, pairs))}
        given = message(_read(payload), topic=topic, queue=queue, qos=qos, retain=retain, **properties)
        store = UUID(int=0)
    with redirect_stdout(sys.stderr):  # what the handler prints does not mix with the outcome
        (result,), hangs = run_messages(choice.make(CollectorRegistry()), settings, [given], store=store)
    code, fields = _outcome(result)
    if as_json:
        print_shape(TryShape(**fields, seconds=result.seconds, logs=[_log_line(one) for one in result.logs]))
    else:
        say(_sentence(fields, result))
        if lines := str(fields.get("reason", "")).split("\n")[1:]:
            click.echo(plain_lines("\n".join(lines)))
    if hangs:  # the call can't be stopped; nothing that Python does at the end may wait for it
        sys.stdout.flush()
        logging.shutdown()
        os._exit(code)
    return code


def _log_to_people(*, quiet: bool) -> Any:  # noqa: ANN401 - as choose takes it
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


def _outcome(result: Result) -> tuple[int, dict[str, Any]]:
    """The exit code, and the outcome as fields."""
    outcome = result.outcome
    if isinstance(outcome, Done):
        return (0, {"outcome": "done"}) if result.is_handled else (EXIT_SKIPPED, {"outcome": "skipped"})
    fields: dict[str, Any] = {"reason": outcome.reason, "cause": outcome.cause}
    if isinstance(outcome, Dead):
        return EXIT_DEAD, {"outcome": "dead", **fields}
    return EXIT_RETRY, {"outcome": "retry", "delay": outcome.delay, **fields}


def _sentence(fields: dict[str, Any], result: Result) -> str:
    reason = str(fields.get("reason", "")).partition("\n")[0]
    match fields["outcome"]:
        case "done":
            return f"Done in {result.seconds:.3f} s"
        case "skipped":
            return "Skipped: the filter does not let the message through, or it has expired"
        case "dead":
            return f"Dead letter after {result.seconds:.3f} s: {reason}"
        case _:
            return f"Retry in {fields['delay']:.1f} s, after {result.seconds:.3f} s: {reason}"


def _log_line(record: logging.LogRecord) -> LogShape:
    return LogShape(record.levelname, record.name, record.getMessage())
