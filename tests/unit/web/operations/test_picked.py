"""Messages that are picked one by one."""

from http import HTTPStatus

import pytest

from fmq.errors import UnknownQueue
from fmq.message import Incoming
from fmq_web.http.problems import Problem
from fmq_web.operations.picked import MOST_IDS, PickedKind, change_picked
from support.web.databases import QUEUE, Web


@pytest.mark.parametrize(("kind", "pending"), [("handle-again", 5), ("purge", 1)])
def test_settled_messages_change(web: Web, kind: PickedKind, pending: int) -> None:
    """Dead or handled ones, with one row in the audit; others and unknown ids are left alone."""
    ids = web.dead(2) + web.done(2)
    web.store.put([Incoming(QUEUE, "t", b"", web.clock.wall())])
    assert change_picked(web.store, "ann", kind, QUEUE, [*ids, ids[-1] + 1, 999]).changed == 4
    stats = web.store.stats(QUEUE)
    assert (stats.pending, stats.dead, stats.done) == (pending, 0, 0)
    assert [(one.kind, one.actor, one.changed) for one in web.store.actions()] == [(kind, "ann", 4)]


def test_what_is_refused(web: Web) -> None:
    """Too many at once, and a queue that does not exist; neither leaves a row."""
    web.dead(1)
    with pytest.raises(Problem) as caught:
        change_picked(web.store, "ann", "purge", QUEUE, range(MOST_IDS + 1))
    assert caught.value.status == HTTPStatus.UNPROCESSABLE_ENTITY
    with pytest.raises(UnknownQueue):
        change_picked(web.store, "ann", "purge", "unknown", [1])
    assert not web.store.actions()
