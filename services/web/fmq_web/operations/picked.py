"""Changes messages that were picked one by one, in one commit, and records it in the audit."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Literal

from fmq.errors import QueueError
from fmq.store.roles import Store
from fmq.store.selection import State
from fmq.text import counted, plain
from fmq_web.answers.messages import Receipt
from fmq_web.http.problems import Problem
from fmq_web.views.sentences import called

_log = logging.getLogger(__name__)
MOST_IDS = 200
PickedKind = Literal["handle-again", "purge"]


def change_picked(store: Store, caller_name: str, kind: PickedKind, queue: str, ids: Sequence[int]) -> Receipt:
    """Change those of ``ids`` that are settled (handled or dead), at most 200. Others have changed meanwhile, and stay.

    ``handle-again`` makes them pending, with no attempts counted; ``purge`` deletes them. Raises UnknownQueue and other
    QueueErrors, and Problem 422 for too many ids.
    """
    if len(ids) > MOST_IDS:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"Select at most {MOST_IDS} messages by their ids.")
    store.stats(queue)  # raises UnknownQueue before anything is recorded
    words = f"ids {', '.join(map(str, ids))}"
    number = store.begin_action(actor=caller_name, kind=kind, queue=queue, selection=words)
    changed = 0
    try:
        for step in _STEPS[kind]:
            changed += step(store, queue, ids)
    finally:
        with suppress(QueueError):  # the error that ended the action says more
            store.end_action(number, changed=changed)
    _log.info("%s: %s of %s of queue %s", plain(caller_name), kind, counted(changed, "message"), called(queue))
    return Receipt(changed=changed)


_Step = Callable[[Store, str, Sequence[int]], int]
_STEPS: Mapping[PickedKind, Sequence[_Step]] = {
    "handle-again": (
        lambda store, queue, ids: store.requeue_dead(queue, ids),
        lambda store, queue, ids: store.requeue_done(queue, ids),
    ),
    "purge": (
        lambda store, queue, ids: store.purge_dead(queue, ids),
        lambda store, queue, ids: store.delete_messages(queue, ids, state=State.DONE),
    ),
}
