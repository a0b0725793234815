"""`fmq peek`: shows pending messages without claiming them."""

import json

import click

from fmq.cli.common.output import moment, next_attempt, print_table, say
from fmq.cli.common.parameters import QUEUE
from fmq.cli.common.selecting import open_chosen_store, read_messages, selection_options, store_options
from fmq.cli.help import SettingsCommand
from fmq.message import Message, Waiting
from fmq.message_json import message_fields
from fmq.service.log import shorten
from fmq.store.selection import Selection, State
from fmq.store.steps import walk
from fmq.text import plain


@click.command(cls=SettingsCommand, short_help="Show pending messages of a queue.")
@click.argument("queue", type=QUEUE)
@click.option(
    "--limit", default=10, show_default=True, help="Maximum number of messages to show.", type=click.IntRange(1)
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line, with all fields.")
@selection_options(State.PENDING)
@store_options
def peek(queue: str, limit: int, *, as_json: bool, which: Selection, **flags: object) -> None:
    """Show pending messages of QUEUE, oldest first. Claims none, so that processors may take them meanwhile."""
    with open_chosen_store(flags) as store:
        ids: list[int] = []
        for found in walk(store, queue, which, limit=limit):
            ids += found.ids
            if len(ids) >= limit:
                break
        messages = read_messages(store, queue, ids[:limit])
        waiting = store.waiting(queue, ids[:limit])
        if as_json:
            for message in messages:
                click.echo(
                    json.dumps({**message_fields(message), **_fields(waiting.get(message.id))}, separators=(",", ":"))
                )
            return
        rows = [
            (
                *(
                    one.id,
                    shorten(one.topic, 60),
                    one.retry_count,
                    moment(one.received_at),
                    len(one.payload),
                    _shown(one),
                ),
                *_columns(waiting.get(one.id)),
            )
            for one in messages
        ]
        total = store.stats(queue).pending
    print_table(("ID", "TOPIC", "RETRIES", "RECEIVED", "BYTES", "PAYLOAD", "NEXT ATTEMPT", "LAST FAILURE"), rows)
    click.echo()
    say(f"{len(rows)} of {total:,} pending messages of {queue}")


def _columns(waits: Waiting | None) -> tuple[str, str]:
    if waits is None:  # taken or settled meanwhile
        return "-", "-"
    return next_attempt(waits), shorten(waits.reason.partition("\n")[0], 100) or "-"


def _fields(waits: Waiting | None) -> dict[str, object]:
    return {} if waits is None else {"due_in": waits.due_in, "reason": waits.reason}


def _shown(message: Message) -> str:
    """The beginning of the payload in one line. Escapes everything that a terminal might act on."""
    try:
        text = message.text
    except UnicodeDecodeError:
        return repr(message.payload[:30]) + ("…" if len(message.payload) > 30 else "")
    escaped = plain(text[:61])
    return escaped[:60] + ("…" if len(escaped) > 60 else "")
