"""`fmq peek`: shows pending messages without claiming them."""

from collections.abc import Iterator, Sequence

import click

from fmq.cli.common.json_output import message_shape, print_page
from fmq.cli.common.listing import Sort, in_order, list_page, listing_options, next_page
from fmq.cli.common.output import moment, next_attempt, say
from fmq.cli.common.parameters import QUEUE
from fmq.cli.common.selecting import open_chosen_store, read_messages, selection_options, store_options
from fmq.cli.common.shapes import PageShape
from fmq.cli.common.table import Column, print_table
from fmq.cli.help import SettingsCommand
from fmq.message import Message, MessageId, Waiting
from fmq.service.log import shorten
from fmq.store.selection import Selection, State
from fmq.text import plain

_LONGEST = 300
"""Characters of a topic or a reason in a table."""
_COLUMNS = (
    "ID",
    Column("TOPIC", cut="middle"),
    Column("RETRIES", may_go=2),
    "RECEIVED",
    Column("BYTES", may_go=3),
    Column("PAYLOAD", cut="end"),
    "NEXT ATTEMPT",
    Column("LAST FAILURE", cut="end", may_go=1),
)


@click.command(cls=SettingsCommand, short_help="Show pending messages of a queue.")
@click.argument("queue", type=QUEUE)
@listing_options(sort="oldest", limit=10)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object (docs/cli.schema.json).")
@selection_options(State.PENDING)
@store_options
def peek(
    queue: str, sort: Sort, limit: int, after: str | None, *, as_json: bool, which: Selection, **flags: object
) -> None:
    """Show pending messages of QUEUE, oldest first. Claims none, so that processors may take them meanwhile."""
    with open_chosen_store(flags) as store:
        page = list_page(store, queue, which, sort=sort, limit=limit, after=after)
        waiting = store.waiting(queue, page.ids)

        def read(ids: Sequence[MessageId]) -> Iterator[tuple[MessageId, Message]]:
            return ((one.id, one) for one in read_messages(store, queue, ids))

        messages = in_order(page, read)
        total = store.stats(queue).pending
        if as_json:
            shapes = (message_shape(one, waiting.get(one.id)) for one in messages)
            print_page(PageShape("peek", queue, total, page.next, []), shapes)
            return
        rows = [
            (
                one.id,
                shorten(one.topic, _LONGEST),
                one.retry_count,
                moment(one.received_at),
                len(one.payload),
                _shown(one),
                *_columns(waiting.get(one.id)),
            )
            for one in messages
        ]
    if rows:
        print_table(_COLUMNS, rows)
        click.echo()
    say(f"{len(rows)} of {total:,} pending messages of {queue}{next_page(page)}")


def _columns(waits: Waiting | None) -> tuple[str, str]:
    if waits is None:  # taken or settled meanwhile
        return "-", "-"
    return next_attempt(waits), shorten(waits.reason.partition("\n")[0], _LONGEST) or "-"


def _shown(message: Message) -> str:
    """The beginning of the payload in one line. Escapes everything that a terminal might act on."""
    try:
        text = message.text
    except UnicodeDecodeError:
        return repr(message.payload[:30]) + ("…" if len(message.payload) > 30 else "")
    escaped = plain(text[:61])
    return escaped[:60] + ("…" if len(escaped) > 60 else "")
