"""`fmq queue` and `fmq dead summary`, against a real store."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fmq.cli.main import fmq_command
from fmq.cli.summary import newest_groups
from fmq.errors import FmqError, QueueInUse, UnknownQueue
from fmq.message import Incoming, Terms
from fmq.outcome import Dead, Done
from fmq.store.backends import open_store
from fmq.store.records import Group, Groups, ServiceReport
from fmq.store.removal import PRESENT_SECONDS, remove_queue, require_unused
from support.clock import FakeClock
from support.counting import counted, counters

_NAME = "a/#"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Queue a/#: two done, three dead, one claimed, one delayed and two pending; and an empty queue."""
    url = f"sqlite:///{tmp_path}/q.db"
    with open_store(url) as queue:
        for name in (_NAME, "empty"):
            queue.declare(name)
        queue.put([Incoming(_NAME, f"a/{n % 2}", b"%d" % n, 100.0) for n in range(6)])
        claims = list(queue.claim(_NAME, 6, lease=600))
        reasons = {2: "Timeout after 3 s\nmore", 3: "no 'x'", 4: "Timeout after 17 s"}
        queue.settle([(claim, Dead(reasons[n]) if n in reasons else Done()) for n, claim in enumerate(claims) if n < 5])
        queue.put([Incoming(_NAME, "a/late", b"x", 100.0)], terms={0: Terms(delay=900)})
        queue.put([Incoming(_NAME, f"a/{n}", b"x", 200.0) for n in range(2)])
    return url


def run(url: str, *words: str, stdin: str = "") -> Result:
    """What a command answers; raises fmq's own errors."""
    result = CliRunner().invoke(fmq_command, [*words, "--queue-url", url], input=stdin, standalone_mode=False)
    if isinstance(result.exception, FmqError):
        raise result.exception
    return result


def asked(url: str, *words: str) -> str:
    """What a command asks; the answer is no, so it changes nothing and exits with 1."""
    result = CliRunner().invoke(fmq_command, [*words, "--queue-url", url], input="n\n", standalone_mode=False)
    assert "Nothing was changed" in str(result.exception)
    return result.stderr


def figures(url: str) -> Mapping[str, tuple[int, ...]]:
    """Pending, claimed, done and dead of each queue; as counted, and as the counters say."""
    path = Path(url.removeprefix("sqlite:///"))
    found = counted(path)
    assert counters(path) == found
    return found


def report(url: str, *queues: str, kind: str = "listener") -> None:
    """A service says what it serves."""
    with open_store(url) as store:
        store.report(ServiceReport(f"{kind} h/1", kind, "h", 1, "1", 0.0, {"queues": list(queues)}))


class TestPurge:
    @pytest.mark.usefixtures("terminal")
    @pytest.mark.parametrize(
        ("words", "count", "left"),
        [
            ("", "3 pending messages", (0, 1, 2, 3)),
            ("--state delayed", "1 delayed message", (2, 1, 2, 3)),
            ("--state done", "2 done messages", (3, 1, 0, 3)),
            ("--state dead", "3 dead messages", (3, 1, 2, 0)),
            ("--state dead --reason timeout", "2 dead messages", (3, 1, 2, 1)),
            ("--state any", "8 messages", (0, 1, 0, 0)),
            ("--state any --topic a/0 --rate 1000", "4 messages", (2, 1, 1, 1)),
            ("--topic b/#", "0 pending messages", (3, 1, 2, 3)),
        ],
    )
    def test_what_goes(self, url: str, words: str, count: str, left: tuple[int, ...]) -> None:
        """A dry run and the question count exactly what is deleted then. What a processor holds stays."""
        command = ("queue", "purge", _NAME, *words.split())
        assert run(url, *command, "--dry-run").stdout == f"Would delete {count} of a/#\n"
        assert f"Delete {count} of a/# permanently?" in asked(url, *command)
        assert figures(url)[_NAME] == (3, 1, 2, 3)
        assert run(url, *command, stdin="y\n").stdout == f"Purged {count} of a/#; processors hold 1\n"
        assert figures(url) == {_NAME: left, "empty": (0, 0, 0, 0)}

    def test_it_is_recorded(self, url: str) -> None:
        """Who, what and how many, in one action. A dry run is none."""
        run(url, "queue", "purge", _NAME, "--dry-run")
        run(url, "queue", "purge", _NAME, "--yes", "--state", "any", "--topic", "a/+")
        with open_store(url) as store:
            [action] = store.actions()
        assert (action.kind, action.queue, action.changed) == ("purge", _NAME, 8)
        assert action.selection == "any, topic 'a/+', up to message 9"
        assert action.ended_at is not None

    def test_claimed_messages_are_never_meant(self, url: str) -> None:
        """Nor can they be named."""
        result = CliRunner().invoke(fmq_command, ["queue", "purge", _NAME, "--state", "claimed", "--queue-url", url])
        assert result.exit_code == 2


class TestDelete:
    @pytest.mark.usefixtures("terminal")
    def test_an_unused_queue(self, url: str) -> None:
        """After a question. Its done messages go with it, and the deletion is recorded."""
        with open_store(url) as store:
            store.put([Incoming("empty", "t", b"x", 1.0) for _ in range(3)])
            store.settle([(claim, Done()) for claim in store.claim("empty", 3, lease=60)])
        assert "Delete empty and 3 done messages permanently?" in asked(url, "queue", "delete", "empty")
        assert figures(url)["empty"] == (0, 0, 3, 0)
        assert run(url, "queue", "delete", "empty", "--yes").stdout == "Deleted empty\n"
        assert set(figures(url)) == {_NAME}
        with open_store(url) as store:
            [action] = store.actions()
        assert (action.kind, action.queue, action.changed) == ("delete", "empty", 3)

    def test_one_with_messages(self, url: str) -> None:
        """Refused, with their number and what to do, and no record. Afterwards it works."""
        with pytest.raises(QueueInUse, match=r"3 pending, 1 claimed, 3 dead\..* fmq queue purge 'a/#' --state any"):
            run(url, "queue", "delete", _NAME, "--yes")
        assert figures(url)[_NAME] == (3, 1, 2, 3)
        with open_store(url) as store:
            assert list(store.actions()) == []

    @pytest.mark.parametrize("kind", ["listener", "processor"])
    def test_one_that_a_service_serves(self, url: str, kind: str) -> None:
        """A listener fills it, so it would come back. A processor just goes on when it does."""
        report(url, "other", "empty", kind=kind)
        if kind == "listener":
            with pytest.raises(QueueInUse, match=r"listener on h \(process 1\) subscribes to empty"):
                run(url, "queue", "delete", "empty", "--yes")
            report(url, "other", kind=kind)
        run(url, "queue", "delete", "empty", "--yes")
        assert set(figures(url)) == {_NAME}

    def test_an_unknown_queue(self, url: str) -> None:
        """An error that names it."""
        with pytest.raises(UnknownQueue, match="nothing"):
            run(url, "queue", "delete", "nothing", "--yes")

    def test_how_long_a_listener_is_present(self, tmp_path: Path) -> None:
        """Until it has not reported for some time, or has withdrawn."""
        clock = FakeClock()
        with open_store(f"sqlite:///{tmp_path}/q.db", clock=clock) as store:
            store.declare("q")
            store.report(ServiceReport("listener h/1", "listener", "h", 1, "1", 0.0, {"queues": ["q"]}))
            clock.advance(PRESENT_SECONDS - 1)
            with pytest.raises(QueueInUse):
                remove_queue(store, "q")
            clock.advance(2)
            require_unused(store, "q")
            store.report(ServiceReport("listener h/1", "listener", "h", 1, "1", 0.0, {"queues": "q"}))
            assert remove_queue(store, "q")

    def test_in_steps(self, tmp_path: Path) -> None:
        """No commit deletes more than a thousand messages, so that nobody waits long for the write lock."""
        steps: list[int] = []
        with open_store(f"sqlite:///{tmp_path}/q.db") as store:
            store.declare("q")
            store.put([Incoming("q", "t", b"x", 1.0) for _ in range(2_500)])
            store.settle([(claim, Done()) for claim in store.claim("q", 2_500, lease=60)])
            assert remove_queue(store, "q", on_step=steps.append)
        assert (sum(steps), max(steps)) == (2_500, 1_000)


class _Letters:
    """A store whose dead letters come as steps that a test has made."""

    def __init__(self, *steps: list[Group]) -> None:
        self._steps = steps

    def dead_groups(self, _name: str, *, before: str | None = None, within: int = 10_000) -> Groups:
        number = int(before or 0)
        groups = self._steps[number]
        last = number == len(self._steps) - 1
        return Groups(groups, min(within, sum(one.count for one in groups)), None if last else str(number + 1))


class TestSummary:
    def test_as_a_table(self, url: str) -> None:
        """One line per group with its newest reason, and how many dead letters were looked at."""
        lines = run(url, "dead", "summary", _NAME).stdout.splitlines()
        assert [line.split() for line in lines[0:1]] == [["COUNT", "FIRST", "LAST", "GROUP"]]
        assert [(line.split()[0], line.split("Z  ")[-1]) for line in lines[1:3]] == [
            ("2", "Timeout after \u2039\u2026\u203a s"),
            ("1", "no \u2039\u2026\u203a"),
        ]
        assert lines[-1] == "Looked at 3 dead letters of a/#: 2 groups"

    def test_all_queues(self, url: str) -> None:
        """The newest group of any queue comes first, each with its queue; the rest is counted."""
        with open_store(url) as store:
            store.put([Incoming("empty", "t", b"x", time.time(), reason="broken 1")])
        lines = run(url, "dead", "summary", "--all-queues", "--limit", "1").stdout.splitlines()
        assert lines[0].split()[:2] == ["QUEUE", "COUNT"]
        assert lines[1].split()[:2] == ["empty", "1"]
        assert lines[-1] == "Looked at 4 dead letters of all queues: 1 group; 3 have other reasons (see --limit)"

    @pytest.mark.parametrize(
        "group", ["Timeout after \u2039\u2026\u203a s", "Timeout after 3 s", "Timeout after 999 s"]
    )
    def test_a_group_is_listed_requeued_and_purged(self, url: str, group: str) -> None:
        """As summary prints it, or by the reason of any dead letter in it, even one that is gone; no other is touched."""
        listed = run(url, "dead", "list", _NAME, "--group", group, "--json").stdout
        assert [one["reason"].partition("\n")[0] for one in json.loads(listed)["messages"]] == [
            "Timeout after 17 s",
            "Timeout after 3 s",
        ]
        assert "Would delete 2 dead letters" in run(url, "dead", "purge", _NAME, "--group", group, "--dry-run").stdout
        assert "Requeued 2 messages" in run(url, "dead", "requeue", _NAME, "--group", group).stdout
        assert "Purged 1 message" in run(url, "dead", "purge", _NAME, "--group", "no 'y'", "--yes").stdout

    def test_the_group_without_a_reason(self, url: str) -> None:
        """It is one of its own, and not all."""
        with open_store(url) as store:
            store.put([Incoming("empty", "t", b"x", time.time(), reason=reason) for reason in ("", "broken")])
        assert "Requeued 1 message" in run(url, "dead", "requeue", "empty", "--group", "").stdout

    def test_as_json(self, url: str) -> None:
        """One object, and nothing else."""
        told = run(url, "dead", "summary", _NAME, "--json")
        found = json.loads(told.stdout)["groups"]
        assert [(one["queue"], one["count"], one["reason"]) for one in found] == [
            (_NAME, 2, "Timeout after 17 s"),
            (_NAME, 1, "no 'x'"),
        ]
        assert found[0]["first_at"] <= found[0]["last_at"]
        assert "Looked at 3" in told.stderr

    @pytest.mark.parametrize("words", [(), (_NAME, "--all-queues")])
    def test_of_what(self, url: str, words: tuple[str, ...]) -> None:
        """Of one queue or of all: exactly one of the two."""
        assert CliRunner().invoke(fmq_command, ["dead", "summary", *words, "--queue-url", url]).exit_code == 2

    def test_in_steps(self) -> None:
        """Groups of several steps are added up. However many reasons there are, only the newest groups are kept."""
        store = _Letters(
            [Group("b", 2, 70.0, 80.0, "b 2"), Group("a", 1, 90.0, 90.0, "a 9")],
            [Group("c", 9, 50.0, 69.0, "c 1"), Group("a", 3, 40.0, 68.0, "a 1")],
            [Group(f"d {n}", 1, n, n, "d") for n in range(30)],
        )
        groups, looked_at = newest_groups(store, "q", 3)  # type: ignore[arg-type]  # has what is used
        assert groups == [
            Group("a", 4, 40.0, 90.0, "a 9"),
            Group("b", 2, 70.0, 80.0, "b 2"),
            Group("c", 9, 50.0, 69.0, "c 1"),
        ]
        assert looked_at == 45
