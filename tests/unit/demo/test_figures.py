"""Totals, rates, and the verdict at the end."""

import pytest

from fmq_demo.figures import Figures, Patience, Rates, Snapshot, most_dead, rates, shortfalls
from fmq_demo.screen import line

_WELL = Figures(published=10, stored=10, retries=3, done=9, dead=1)


def test_totals_add_up_each_column() -> None:
    """One row for each queue, one for all."""
    snapshot = Snapshot(0.0, (("a", Figures(1, 2, 3, 4, 5, 6, 7)), ("b", Figures(10, 20, 30, 40, 50, 60, 70))))
    assert snapshot.total == Figures(11, 22, 33, 44, 55, 66, 77)
    assert snapshot.total.waiting == 77


def test_rates_are_differences_over_time() -> None:
    """Of all queues together."""
    earlier = Snapshot(10.0, (("a", Figures(published=100, stored=90, done=80)),))
    later = Snapshot(12.0, (("a", Figures(published=300, stored=280, done=180)),))
    assert rates(earlier, later) == Rates(published=100.0, stored=95.0, done=50.0)
    assert rates(later, later) == Rates()


def test_nothing_is_wrong_if_all_is_stored_and_settled() -> None:
    """Dead letters are kept, so they are no loss."""
    assert shortfalls([("a", _WELL), ("b", Figures())]) == []


@pytest.mark.parametrize(
    ("figures", "part"),
    [
        (Figures(), "nothing was published"),
        (Figures(published=10, stored=8, done=8), "a: 2 published messages were not stored"),
        (Figures(published=10, stored=11, done=11), "a: 1 more messages were stored than published"),
        (Figures(published=10, stored=10, pending=1, claimed=2, done=7), "a: 3 messages still wait"),
        (Figures(published=10, stored=10, done=9), "a: 9 done and 0 dead do not make 10 stored"),
    ],
)
def test_each_loss_is_told(figures: Figures, part: str) -> None:
    """In words, with the queue and the number."""
    assert [part in one for one in shortfalls([("a", figures)])] == [True]


def test_one_queue_does_not_make_up_for_another() -> None:
    """A message too many here and one too few there are two faults, not none."""
    found = shortfalls([("a", Figures(published=2, stored=1, done=1)), ("b", Figures(published=1, stored=2, done=2))])
    assert len(found) == 2


def test_messages_that_the_broker_did_not_take_are_told() -> None:
    """Refused, or never answered."""
    assert len(shortfalls([("a", _WELL)], refused=1, unanswered=1)) == 2


def test_waiting_goes_on_as_long_as_anything_happens() -> None:
    """A long backlog is no reason to give up; a queue that stands still is."""
    patience = Patience(30.0)

    def over(at: float, done: int, pending: int) -> bool:
        return patience.is_over(Snapshot(at, (("a", Figures(published=9, stored=9, pending=pending, done=done)),)))

    assert not over(0.0, 1, 8)
    assert not over(29.0, 2, 7)
    assert not over(58.0, 2, 7)
    assert over(59.0, 2, 7)
    assert over(60.0, 9, 0)


def test_waiting_ends_only_when_all_is_stored_too() -> None:
    """An empty queue does not mean much while published messages are still on their way into it."""
    figures = Figures(published=9, stored=8, done=8)
    assert not Patience(30.0).is_over(Snapshot(0.0, (("a", figures),)))


def test_the_queue_to_look_into_is_the_one_with_dead_letters() -> None:
    """The first one if there are none."""
    assert most_dead(Snapshot(0.0, (("a", Figures()), ("b", _WELL)))) == "b"
    assert most_dead(Snapshot(0.0, (("a", Figures()), ("b", Figures())))) == "a"


def test_a_line_tells_it_all() -> None:
    """What a log shows every second."""
    text = line(Figures(1200, 1190, 5, 4, 30, 1180, 1), Rates(300.4, 299.0, 298.0), elapsed=4.04)
    assert text == (
        "  4.0 s  published 1,200 (300/s)  stored 1,190  processed 1,180 (298/s)  pending 9  retries 30  dead 1"
    )
