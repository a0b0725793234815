"""Six processes at once."""

import pytest

from support import stressing
from support.backends import BackendUnderTest

_MESSAGES = 1_200


@pytest.mark.parametrize("ordered", [False, True])
def test_six_processes(backend: BackendUnderTest, *, ordered: bool) -> None:
    """No message is held twice at once, in order no topic is either, and in the end the counters equal a full count."""
    held = stressing.run(backend.url, processes=6, messages=_MESSAGES, ordered=ordered)
    assert stressing.overlaps(held, lambda one: one.id) == 0
    if ordered:
        assert stressing.overlaps(held, lambda one: one.topic) == 0
    assert {one.id for one in held} == backend.ids(stressing.QUEUE)
    assert backend.full_count() == {stressing.QUEUE: (0, 0, _MESSAGES, 0)}
    with backend.open() as store:
        stats = store.stats(stressing.QUEUE)
    assert (stats.stored, stats.pending, stats.claimed, stats.done, stats.dead) == (_MESSAGES, 0, 0, _MESSAGES, 0)
    assert stats.handled == _MESSAGES
