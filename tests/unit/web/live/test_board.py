"""In any order of updates and reads, every page ends with the figures of the store."""

from hypothesis import given
from hypothesis import strategies as st

from fmq_web.live.board import NOTHING, Board
from support.web.live import Follower, counts, operation, reading, service

NAMES = ("a", "b", "c")
READERS = 3
queues = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2))
updates = st.tuples(queues, st.integers(0, 2), st.integers(0, 2))
steps = st.lists(st.one_of(st.integers(0, READERS - 1), updates, st.just("fail")), max_size=40)


class Reader:
    """A client that reads now and then."""

    def __init__(self) -> None:
        self.seen = NOTHING
        self.page = Follower()

    def read(self, board: Board) -> bytes:
        events, self.seen = board.since(self.seen)
        self.page.take(events)
        return events


@given(steps)
def test_the_last_state_wins(steps: list[int | str | tuple[dict[str, int], int, int]]) -> None:
    """Any interleaving of updates, outages and reads ends with the last figures, and then with silence."""
    board, readers = Board("1"), [Reader() for _ in range(READERS)]
    last: tuple[dict[str, int], int, int] | None = None
    failed = False
    for at, step in enumerate(steps):
        if isinstance(step, int):
            readers[step].read(board)
        elif isinstance(step, str):
            board.fail("disk full")
            failed = True
        else:
            last, failed = step, False
            stored, held, changed = step
            board.update(
                reading(at, [counts(name, number) for name, number in stored.items()], [service("p", at, held)]),
                [operation("o", changed)],
            )
    for one in readers:
        one.read(board)
        assert one.read(board) == b""
        assert (one.page.problem is not None) == failed
        if last is not None:
            stored, held, changed = last
            assert {name: seen["stored"] for name, seen in one.page.queues.items()} == stored
            assert one.page.whole["total_stored"] == sum(stored.values())
            assert one.page.services["p"]["in_hand"] == held
            assert one.page.operations["o"]["changed"] == changed


def test_a_tick_has_only_what_changed() -> None:
    """Absolute figures of those queues; services and operations only if something happened to them."""
    board, reader = Board("1"), Reader()
    board.update(reading(1, [counts("a"), counts("b")], [service("p")]), [operation("o")])
    reader.read(board)
    board.update(reading(2, [counts("a"), counts("b", 7)], [service("p", unseen=1.0)]), [operation("o")])
    reader.read(board)
    assert (reader.page.names, reader.page.ticked, reader.page.at) == (["state", "tick"], ["b"], 2)
    board.update(reading(3, [counts("a"), counts("b", 7)], [service("p", in_hand=1)]), [operation("o", 1)])
    reader.read(board)
    assert (reader.page.names[2:], reader.page.ticked) == (["tick", "workers", "operation"], [])


def test_a_queue_that_is_gone_brings_a_whole_state() -> None:
    board, reader = Board("1"), Reader()
    board.update(reading(1, [counts("a"), counts("b")]), [])
    reader.read(board)
    board.update(reading(2, [counts("a")]), [])
    reader.read(board)
    assert (reader.page.names, list(reader.page.queues)) == (["state", "state"], ["a"])


def test_a_problem_tells_the_time_of_the_last_figures() -> None:
    """Once; the state that follows ends it."""
    board, reader = Board("1"), Reader()
    board.fail("no such file")
    reader.read(board)
    assert reader.page.problem == {"detail": "no such file", "at": None}
    board.update(reading(5, [counts("a")]), [])
    board.fail("disk full")
    board.fail("disk full")
    reader.read(board)
    assert reader.page.problem == {"detail": "disk full", "at": 5}
    assert reader.read(board) == b""
    board.update(reading(6, [counts("a")]), [])
    reader.read(board)
    assert reader.page.at == 6
    assert reader.page.problem is None


def test_a_slow_reader_costs_no_memory() -> None:
    """However many updates it misses, it gets one state's worth, and the board keeps nothing for it."""
    board = Board("1")
    fast, slow = Reader(), Reader()
    board.update(reading(0, [counts(name) for name in NAMES]), [])
    whole = len(slow.read(board))
    for at in range(1, 1_000):
        board.update(reading(at, [counts(name, at) for name in NAMES]), [])
        fast.read(board)
        assert len(board._rendered) <= 1
    assert len(slow.read(board)) <= whole + 100
    assert slow.page.queues == fast.page.queues
