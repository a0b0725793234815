"""What was done, by whom, and what goes on."""

from collections.abc import Sequence

from fmq.store.roles import Audit
from fmq_web.answers.activity import ActionView, Activity, OperationView
from fmq_web.views.cursors import cursor, located, place

_LIST = "activity"


def activity(store: Audit, operations: Sequence[OperationView], before: str | None = None, limit: int = 50) -> Activity:
    """``limit`` actions, newest first. Raises Problem 422 for a cursor of another list."""
    with located():
        last = None if before is None else int(place(before, _LIST))
        found = store.actions(before=last, limit=limit + 1)
    shown = found[:limit]
    return Activity(
        actions=[
            ActionView(
                number=str(one.number),
                at=one.at,
                actor=one.actor,
                kind=one.kind,
                queue=one.queue,
                selection=one.selection,
                changed=one.changed,
                ended_at=one.ended_at,
            )
            for one in shown
        ],
        operations=list(operations),
        before=cursor(str(shown[-1].number), _LIST) if len(found) > limit else None,
    )
