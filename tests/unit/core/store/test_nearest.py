"""The queue that was meant by a name that no queue has."""

import pytest

from fmq.store.nearest import no_queue


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("sensor/#", "Did you mean 'sensors/#'?"),
        ("sensors/1/temp", "Did you mean 'sensors/#'?"),
        ("ALARMS", "Did you mean 'alarms'?"),
        ("alarm", "Did you mean 'alarms'?"),
        ("x/y", "It has 3 others."),
    ],
)
def test_the_nearest_are_named(name: str, hint: str) -> None:
    """By their letters, or because their filter matches what may be a topic; then the command that lists all."""
    text = no_queue(name, "/data/q.db", ["alarms", "sensors/#", "other"])
    assert text == f"/data/q.db has no queue {name!r}. {hint} `fmq status` lists all"


def test_a_filter_that_matches_is_meant() -> None:
    """However little its letters have in common with the topic."""
    assert "Did you mean '+/+/level'?" in no_queue("tank/7/level", "q.db", ["+/+/level", "tank"])
    assert "Did you mean '#'?" in no_queue("tank/7/level", "q.db", ["#"])


def test_a_store_without_queues() -> None:
    """The next command is the one that makes a queue."""
    assert no_queue("a/#", "q.db", []).endswith("nor any other. A listener creates it: fmq listen 'a/#'")
