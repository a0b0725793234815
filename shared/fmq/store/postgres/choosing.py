"""The messages that a Selection matches."""

from collections.abc import Sequence

from fmq.store.postgres.queues import Queues
from fmq.store.selection import Selection, State

THESE = "message.id = ANY (%(ids)b::bigint[])"
ALL = """
    fmq_msg_{q} AS message LEFT JOIN fmq_due_{q} AS due ON due.id = message.id
    LEFT JOIN fmq_done_{q} AS done ON done.id = message.id LEFT JOIN fmq_dead_{q} AS dead ON dead.id = message.id
"""
"""SQL: messages with the one row of another table that says where each stands."""
_IN_STATE = {
    State.ANY: "true",
    State.PENDING: "due.id IS NOT NULL AND due.token IS NULL",
    State.DELAYED: "due.id IS NOT NULL AND due.token IS NULL AND due.parked IS NULL AND due.due_at > {now}",
    State.CLAIMED: "due.token IS NOT NULL",
    State.DONE: "done.id IS NOT NULL",
    State.DEAD: "dead.id IS NOT NULL",
}
_SINCE = {State.DEAD: "dead.at + %(shift)s", State.DONE: "done.at + %(shift)s"}
# The ids that one step looks at, found without reading their messages. They may be in another state of the same table, so that no
# step goes beyond its bound.
WALKED = {
    State.ANY: "fmq_msg_{q}",
    State.PENDING: "fmq_due_{q}",
    State.DELAYED: "fmq_due_{q}",
    State.CLAIMED: "fmq_due_{q}",
    State.DONE: "fmq_done_{q}",
    State.DEAD: "fmq_dead_{q}",
}
"""The table that holds all messages in a state."""


def fitting(queues: Queues, name: str, which: Selection, ids: Sequence[int]) -> dict[int, int]:
    """Those of ``ids`` that ``which`` selects, with the sizes of their messages in bytes."""
    reason = "coalesce(due.reason, dead.reason, '')"
    rows = queues.rows(
        f"SELECT message.id, message.topic, {_SINCE.get(which.state, 'message.received_at')}, "
        f"{chr(39) * 2 if which.fingerprint is None else reason}, message.size FROM {ALL} "
        f"WHERE {THESE} AND {_IN_STATE[which.state]} AND strpos(lower({reason}), lower(%(reason)s::text)) > 0",
        name,
        {"ids": list(ids), "reason": which.reason or "", "shift": queues.session.moment().shift},
    )
    sizes = {row[0]: row[4] for row in rows}
    return {number: sizes[number] for number in which.among([row[:4] for row in rows])}
