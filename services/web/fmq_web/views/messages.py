"""Messages of one queue, newest first, in bounded steps."""

from typing import Protocol

from fmq.message import QueueStats
from fmq.store.roles import Operating, Statistics
from fmq.store.selection import Selection, State
from fmq_web.answers.messages import MessagePage
from fmq_web.answers.queues import RETRYING_LIMIT
from fmq_web.views.asking import about, require_contents
from fmq_web.views.cursors import cursor, located, place
from fmq_web.views.heads import message_head

MOST = 200


class _Store(Statistics, Operating, Protocol):
    """What the view reads."""


def message_page(
    store: _Store,
    name: str,
    which: Selection,
    *,
    text: str | None = None,
    before: str | None = None,
    limit: int = 50,
    contents: bool = True,
) -> MessagePage:
    """One step: up to ``limit`` messages (at most MOST) that fit. It looks at 10,000 messages, or for 250 ms, at most.

    ``text`` has to occur in topic or payload. ``before`` is that of the last step. ``contents``: whether payloads may be shown.
    Raises Problem: 404 without such a queue, 422 for a cursor of another list, 403 for ``text`` if contents are hidden, since
    the answer would tell what they are.
    """
    if text:
        require_contents(shown=contents)
    query = (
        name,
        which.state.value,
        which.topic,
        which.reason,
        which.since,
        which.until,
        which.fingerprint,
        text or None,
    )
    at = None if before is None else place(before, *query)
    with about(name):
        stats = store.stats(name)
        with located():
            page = store.heads(name, which, text=text or None, before=at, limit=min(limit, MOST))
        return MessagePage(
            queue=name,
            messages=[message_head(one, contents=contents) for one in page.heads],
            looked_at=page.looked_at,
            total=_total(store, stats, which.state),
            before=None if page.before is None else cursor(page.before, *query),
        )


def _total(store: Statistics, stats: QueueStats, state: State) -> int | None:
    if state is State.DELAYED:
        count = store.retrying(stats.name, most=RETRYING_LIMIT)
        return count if count < RETRYING_LIMIT else None
    return {
        State.ANY: stats.pending + stats.claimed + stats.done + stats.dead,
        State.PENDING: stats.pending,
        State.CLAIMED: stats.claimed,
        State.DONE: stats.done,
        State.DEAD: stats.dead,
    }[state]
