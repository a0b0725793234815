"""The record of what a command has changed."""

from contextlib import suppress
from pathlib import Path

from fmq.cli.common.auditing import audited
from fmq.store.backends import open_store


def test_a_command_that_is_killed_shows_how_far_it_came(tmp_path: Path) -> None:
    """The number is in the store after each step, for others to see, and has no end until the command has ended."""
    url = f"sqlite:///{tmp_path}/mqtt_queue.db"
    with open_store(url) as store, open_store(url) as other:
        with audited(store, "requeue", "q", "all") as progress:
            for _ in range(2):
                progress.add(1_000)
            [action] = other.actions()
            assert (action.changed, action.ended_at) == (2_000, None)
        assert other.actions()[0].ended_at is not None


def test_an_action_that_fails_has_ended(tmp_path: Path) -> None:
    """With what it had changed before the error, which the command reports."""
    with open_store(f"sqlite:///{tmp_path}/mqtt_queue.db") as store:
        with suppress(ValueError), audited(store, "purge", "q") as progress:
            progress.add(3)
            raise ValueError
        [action] = store.actions()
        assert (action.kind, action.queue, action.changed) == ("purge", "q", 3)
        assert action.ended_at is not None
