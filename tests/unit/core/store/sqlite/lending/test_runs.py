"""Batches of ids without a gap, and of others."""

from pathlib import Path

import pytest

from contract.filling import figures, fill
from fmq.outcome import Done
from fmq.store.backends import open_store
from fmq.store.sqlite.lending.runs import is_run
from support.clock import FakeClock
from support.counting import execute


@pytest.mark.parametrize("ids", [[7], [1, 2, 3], list(range(2**62 - 2, 2**62 + 2))])
def test_runs(ids: list[int]) -> None:
    """They count up one by one."""
    assert is_run(ids)


@pytest.mark.parametrize(
    "ids", [[1, 3], [2, 1], [1, 1], [1, 3, 3], [1, 1, 3], [3, 2, 1], [1, 3, 2, 4], [1, 2, 4, 4], [1, 2**62]]
)
def test_others(ids: list[int]) -> None:
    """A gap, another order, or an id that is there twice: also if the first and the last one would fit."""
    assert not is_run(ids)


@pytest.mark.parametrize("gone", [1, 3, 5])
@pytest.mark.parametrize("statement", ["UPDATE msg_q SET processed = 1 WHERE id = ?", "DELETE FROM msg_q WHERE id = ?"])
@pytest.mark.parametrize("is_claimed", [False, True], ids=["waits", "claimed"])
def test_a_message_that_somebody_settles_by_hand(
    tmp_path: Path, statement: str, gone: int, *, is_claimed: bool
) -> None:
    """Before it is claimed it is never lent, afterwards its claim is stale. The others around it are handled, and none comes again."""
    path, clock = tmp_path / "q.db", FakeClock()
    with open_store(f"sqlite:///{path}", clock=clock) as queue:
        queue.declare("q")
        fill(queue, clock, *"abcde")
        claims = list(queue.claim("q", 5, lease=60)) if is_claimed else []
        execute(path, statement, gone)
        claims = claims or list(queue.claim("q", 5, lease=60))
        stale = queue.settle([(claim, Done()) for claim in claims])
        assert [claim.message.id for claim in stale] == ([gone] if is_claimed else [])
        assert figures(queue) == (0, 0, 5 if statement.startswith("UPDATE") else 4, 0)
        clock.advance(61)
        assert list(queue.claim("q", 5, lease=60)) == []
