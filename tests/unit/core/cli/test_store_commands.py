"""The commands that look at messages, replay, pause and move them, against a real store."""

import json
import re
import time
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fmq.cli.main import fmq_command
from fmq.errors import FmqError, StoreUnavailable, UnknownMessage, UnknownQueue
from fmq.message import Incoming, Properties
from fmq.outcome import Dead, Done, GiveBack, RetryLater
from fmq.store.backends import open_store
from fmq.store.records import ServiceReport
from support.counting import counted, counters

_PROPERTIES = Properties(1, 60, "text/plain", "reply", b"\0\xff", (("a", "1"), ("a", "\ud800")))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Queue a/#: three done, four dead (two each of two topics and reasons), one claimed, three pending."""
    path = tmp_path / "q.db"
    with open_store(f"sqlite:///{path}") as queue:
        queue.declare("a/#")
        queue.put([Incoming("a/#", f"a/{n % 2}", b"%d" % n, 100.0) for n in range(8)])
        claims = list(queue.claim("a/#", 8, lease=600))
        reasons = {3: "Timeout", 4: "refused", 5: "TIMEOUT", 6: "refused\nmore"}
        queue.settle([(claim, Dead(reasons[n]) if n in reasons else Done()) for n, claim in enumerate(claims) if n < 7])
        queue.put(
            [Incoming("a/#", "a/new", payload, 200.0) for payload in (b"\x1b[31mred\n" * 20, b"\xff\0", b"plain")]
        )
    return path


def run(path: Path, *words: str, stdin: bytes | str = "") -> Result:
    """What a command answers; raises fmq's own errors."""
    result = CliRunner().invoke(
        fmq_command, [*words, "--queue-url", f"sqlite:///{path}"], input=stdin, standalone_mode=False
    )
    if isinstance(result.exception, FmqError):
        raise result.exception
    return result


def figures(path: Path) -> tuple[int, int, int, int]:
    """Pending, claimed, done, dead; as counted, and as the counters say."""
    found = counted(path)
    assert counters(path) == found
    pending, claimed, done, dead = found["a/#"]
    return pending, claimed, done, dead


class TestRoutes:
    """What processors report of their routes, and messages that wait for one."""

    def _set_aside(self, path: Path) -> None:
        with open_store(f"sqlite:///{path}") as store:
            claims = store.claim("a/#", 3, lease=60)
            routes = zip(claims, ("fire", "fire", ""), strict=True)
            store.settle([(claim, GiveBack(300, route)) for claim, route in routes])

    def _report(self, path: Path, *routes: dict[str, object]) -> None:
        with open_store(f"sqlite:///{path}") as store:
            store.report(ServiceReport("processor host/7", "processor", "host", 7, "1", 0.0, {"routes": routes}))

    def test_messages_that_wait_for_a_route(self, path: Path) -> None:
        """Are counted with the route; `fmq release` has them delivered at once, which the audit shows."""
        assert "set aside" not in run(path, "status").stdout
        self._set_aside(path)
        lines = run(path, "status").stdout.splitlines()
        assert "a/#: 2 messages set aside for the route fire" in lines
        assert "a/#: 1 message that no route takes. Add a route; `fmq release` offers them again at once" in lines
        (queue,) = json.loads(run(path, "status", "--json").stdout)["queues"]
        assert queue["set_aside"] == [{"route": None, "messages": 1}, {"route": "fire", "messages": 2}]
        assert run(path, "release", "a/#").stdout == "Released 3 messages of a/#\n"
        assert run(path, "release", "a/#").stdout == "Released 0 messages of a/#\n"
        with open_store(f"sqlite:///{path}") as store:
            assert [(one.kind, one.changed) for one in store.actions(limit=2)] == [("release", 0), ("release", 3)]
            assert len(store.claim("a/#", 9, lease=60)) == 3
        with pytest.raises(UnknownQueue, match="Did you mean 'a/#'"):
            run(path, "release", "a#")

    def test_routes_at_work(self, path: Path) -> None:
        """With their circuits, limits and messages in progress, if there is more to say than the table of queues does."""
        main = {
            "name": "main",
            "queues": [],
            "topics": [],
            "handler": "log",
            "circuit": "closed",
            "rate": "",
            "in_hand": 3,
        }
        self._report(path, main)
        assert "ROUTE" not in run(path, "status").stdout
        fire = {**main, "name": "fire", "queues": ["a/#"], "topics": ["a/1"], "circuit": "open: down", "rate": "100/s"}
        self._report(path, fire, main, {"odd": 1})
        table = [line for line in run(path, "status").stdout.splitlines() if "processor host/7" in line]
        assert [re.split(r" {2,}", line) for line in table] == [
            ["fire", "a/#", "a/1", "log", "open: down", "100/s", "3", "processor host/7"],
            ["main", "all", "all", "log", "closed", "-", "3", "processor host/7"],
        ]
        shown = json.loads(run(path, "status", "--json").stdout)["routes"]
        assert shown[0] == {
            "processor": "processor host/7",
            "route": "fire",
            "queues": ["a/#"],
            "topics": ["a/1"],
            "handler": "log",
            "circuit": "open: down",
            "rate": "100/s",
            "in_progress": 3,
        }
        assert [one["rate"] for one in shown] == ["100/s", None]


class TestDead:
    @pytest.mark.parametrize(
        ("words", "ids"),
        [
            ("", [7, 6, 5, 4]),
            ("--sort oldest", [4, 5, 6, 7]),
            ("--topic a/1", [6, 4]),
            ("--topic +/0 --reason refused", [7, 5]),
            ("--reason timeout", [6, 4]),
            ("--reason timeout --sort oldest --after 4", [6]),
            ("--reason timeout --sort oldest --limit 1", [4]),
            ("--reason timeout --limit 1", [6]),
            ("--since 1h", [7, 6, 5, 4]),
            ("--until 1h", []),
            ("--topic b/#", []),
        ],
    )
    def test_listing(self, path: Path, words: str, ids: list[int]) -> None:
        """By topic filter, a part of the reason, and time."""
        told = run(path, "dead", "list", "a/#", "--json", *words.split())
        assert [one["id"] for one in json.loads(told.stdout)["messages"]] == ids

    def test_no_topic_filter(self, path: Path) -> None:
        """What is no topic filter is a wrong argument."""
        with pytest.raises(Exception, match="# before its last level"):
            raise run(path, "dead", "list", "a/#", "--topic", "a/#/b").exception or AssertionError

    def test_requeuing_some(self, path: Path) -> None:
        """A dry run changes nothing; then those that were meant are pending, and the others stay."""
        words = ("dead", "requeue", "a/#", "--reason", "timeout")
        assert run(path, *words, "--dry-run").stdout == "Would requeue 2 dead letters of a/#\n"
        assert figures(path) == (3, 1, 3, 4)
        assert run(path, *words, "--rate", "1000").stdout == "Requeued 2 messages of a/#; 2 dead letters left\n"
        assert figures(path) == (5, 1, 3, 2)

    @pytest.mark.usefixtures("terminal")
    def test_purging_some(self, path: Path) -> None:
        """Asked for with their number first."""
        words = ("dead", "purge", "a/#", "--topic", "a/0")
        assert run(path, *words, "--dry-run").stdout == "Would delete 2 dead letters of a/#\n"
        with pytest.raises(FmqError, match="Nothing was changed"):
            run(path, *words, stdin="n\n")
        assert figures(path) == (3, 1, 3, 4)
        assert "Purged 2 messages" in run(path, *words, stdin="y\n").stdout
        assert figures(path) == (3, 1, 3, 2)

    @pytest.mark.parametrize("verb", ["requeue", "purge"])
    def test_ids_of_no_dead_letter(self, path: Path, verb: str) -> None:
        """Are named, and the others are changed; a dry run says the same."""
        yes = ["--yes"] if verb == "purge" else []
        for words in (["1"], ["1", "--dry-run"]):
            with pytest.raises(UnknownMessage, match=r"a/# has no dead letter 1\. fmq dead list 'a/#' shows"):
                run(path, "dead", verb, "a/#", *words, *yes)
        assert figures(path) == (3, 1, 3, 4)
        with pytest.raises(UnknownMessage, match="a/# has no dead letters 1, 999"):
            run(path, "dead", verb, "a/#", "4", "1", "999", *yes)
        assert figures(path) == (3 + (verb == "requeue"), 1, 3, 3)

    @pytest.mark.parametrize("words", [(), ("1", "--all"), ("--all", "--topic", "a/0"), ("1", "--reason", "x")])
    @pytest.mark.parametrize("verb", ["requeue", "purge"])
    def test_which_is_said_once(self, path: Path, verb: str, words: tuple[str, ...]) -> None:
        """Ids, all of them, or a filter: exactly one of the three."""
        result = CliRunner().invoke(fmq_command, ["dead", verb, "a/#", *words, "--queue-url", f"sqlite:///{path}"])
        assert result.exit_code == 2
        assert figures(path) == (3, 1, 3, 4)


class TestPeek:
    def test_nothing_is_taken(self, path: Path) -> None:
        """The oldest first, what a terminal might act on escaped, long payloads cut; all of them in JSON."""
        told = run(path, "peek", "a/#", "--limit", "2").stdout
        assert "\\x1b[31mred\\n" in told
        assert "\x1b" not in told
        assert "b'\\xff\\x00'" in told
        assert "2 of 3 pending messages" in told
        page = json.loads(run(path, "peek", "a/#", "--json", "--topic", "a/new").stdout)
        assert [one["id"] for one in page["messages"]] == [9, 10, 11]
        assert figures(path) == (3, 1, 3, 4)

    def test_an_unknown_queue(self, path: Path) -> None:
        """An error that names it."""
        with pytest.raises(FmqError, match="has no queue 'b'"):
            run(path, "peek", "b")

    def test_the_next_attempt_and_the_last_failure(self, tmp_path: Path) -> None:
        """Of each pending message; status shows them of the one that is tried next."""
        path = tmp_path / "waiting.db"
        with open_store(f"sqlite:///{path}") as queue:
            queue.declare("w")
            queue.put([Incoming("w", "w", b"x", 1_764_000_000.0)] * 2)
            (claim,) = queue.claim("w", 1, lease=60)
            queue.settle([(claim, RetryLater(3600, "OSError: no route\x1b to host\n  at handle"))])
        told = run(path, "peek", "w").stdout
        assert re.search(r"in 3,[56]\d\d\.\d s +OSError: no route\\x1b to host\n", told)
        assert re.search(r"now +-\n", told)
        first, second = json.loads(run(path, "peek", "w", "--json").stdout)["messages"]
        assert (first["reason"].split(":")[0], 3500 < first["due_in"] <= 3600) == ("OSError", True)
        assert (second["reason"], second["due_in"]) == ("", 0.0)
        told = run(path, "status").stdout
        assert re.search(
            r"w: message 1 is tried next in 3,[56]\d\d\.\d s; the last attempt failed: OSError: no route", told
        )
        assert json.loads(run(path, "status", "--json").stdout)["queues"][0]["next_retry"]["id"] == 1


class TestReplay:
    @pytest.mark.usefixtures("terminal")
    def test_handled_messages(self, path: Path) -> None:
        """Those of the time that was said, after a question."""
        words = ("requeue", "a/#", "--done-since")
        assert run(path, *words, "2000-01-01", "--done-until", "1h", "--dry-run").stdout.startswith(
            "Would requeue 0 handled"
        )
        assert run(path, *words, "1h", "--dry-run").stdout == "Would requeue 3 handled messages of a/#\n"
        with pytest.raises(FmqError, match="Nothing was changed"):
            run(path, *words, "1h", stdin="n\n")
        assert figures(path) == (3, 1, 3, 4)
        assert run(path, *words, "1h", "--topic", "a/1", "--yes").stdout == "Requeued 1 message of a/#\n"
        assert run(path, *words, "1h", stdin="y\n").stdout == "Requeued 2 messages of a/#\n"
        assert figures(path) == (6, 1, 0, 4)


class TestPause:
    def test_shown_and_lifted(self, path: Path) -> None:
        """In the table, in JSON and by the doctor; a second pause says who was first."""
        assert "Processors still finish 1 message" in run(path, "pause", "a/#", "--reason", "target moves").stdout
        with pytest.raises(FmqError, match=r"already paused since .*target moves"):
            run(path, "pause", "a/#")
        assert "a/# is paused since" in run(path, "status").stdout
        told = json.loads(run(path, "status", "--json").stdout)
        assert told["queues"][0]["paused"]["reason"] == "target moves"
        since = datetime.fromisoformat(told["queues"][0]["paused"]["since"])
        assert time.time() - since.timestamp() < 60
        assert "paused, so nothing is delivered" in run(path, "doctor", "--skip", "broker").stdout
        assert "with 3 pending messages" in run(path, "resume", "a/#").stdout
        with pytest.raises(FmqError, match="is not paused"):
            run(path, "resume", "a/#")


class TestTransfer:
    def test_there_and_back(self, path: Path, tmp_path: Path) -> None:
        """Everything that is kept of a message arrives in another store; claimed ones are left out, and told."""
        with open_store(f"sqlite:///{path}") as queue:
            queue.put([Incoming("a/#", "a/ü", b"\0\xff", 300.25, 2, retain=True, properties=_PROPERTIES)])
        exported = run(path, "export", "a/#", "--state", "pending", "--state", "dead")
        assert "Exported 8 messages of a/#; skipped 1 that processors held" in exported.stderr
        lines = exported.stdout_bytes.splitlines()
        assert [json.loads(line)["state"] for line in lines] == ["pending"] * 4 + ["dead"] * 4
        assert json.loads(lines[-1])["reason"] == "refused\nmore"
        target = tmp_path / "other.db"
        told = run(target, "import", "-", stdin=exported.stdout_bytes)
        assert told.stdout == "stored 8 messages of a/#\nstored 8 messages\n"
        with open_store(f"sqlite:///{target}") as queue:
            last = queue.claim("a/#", 4, lease=60)[-1].message
            assert (last.topic, last.payload, last.received_at) == ("a/ü", b"\0\xff", 300.25)
            assert (last.qos, last.retain, last.properties) == (2, True, _PROPERTIES)
            reasons = [one.reason for one in queue.dead_letters("a/#")]
            assert reasons == ["Timeout", "refused", "TIMEOUT", "refused\nmore"]
        assert figures(target) == (0, 4, 0, 4)

    def test_a_file(self, path: Path, tmp_path: Path) -> None:
        """A new one only; into a queue of another name; after a dry run that stores nothing."""
        file = tmp_path / "out.jsonl"
        run(path, "export", "a/#", "--output", str(file))
        with pytest.raises(FmqError, match="already exists"):
            run(path, "export", "a/#", "--output", str(file))
        target = tmp_path / "other.db"
        words = ("import", str(file), "--queue", "b")
        assert run(target, *words, "--dry-run").stdout.endswith("would store 3 messages\n")
        assert not target.exists()
        run(target, *words)
        assert counted(target)["b"] == (3, 0, 0, 0)

    def test_half_a_file(self, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An export that fails on its way leaves none behind."""

        def fail(_letter: object) -> None:
            raise StoreUnavailable("disk I/O error")

        monkeypatch.setattr("fmq.cli.moving.exporting.stored_fields", fail)
        file = tmp_path / "out.jsonl"
        with pytest.raises(StoreUnavailable):
            run(path, "export", "a/#", "--state", "pending", "--state", "dead", "--output", str(file))
        assert not file.exists()

    def test_a_wrong_line(self, path: Path, tmp_path: Path) -> None:
        """Each wrong field of each wrong line is named, and nothing at all is stored; blank lines are nothing."""
        lines = run(path, "export", "a/#").stdout_bytes.splitlines(keepends=True)
        odd = [
            {"queue": "a/#/b", "received_at": 1, "qos": 1, "retain": False, "topic": "t", "payload": ""},
            {"queue": "q", "received_at": 1764367200000, "qos": 3, "retain": 0, "topic": "t"},
            {"queue": "q", "received_at": 1, "qos": 1, "retain": False, "topic": "\ud800", "payload": ""},
        ]
        text = b"".join([lines[0], b"\n", *(json.dumps(one).encode() + b"\n" for one in odd), lines[1]])
        for file in (tmp_path / "in.jsonl", None):  # a file, and a pipe
            if file:
                file.write_bytes(text)
            with pytest.raises(FmqError) as told:
                run(tmp_path / "other.db", "import", str(file or "-"), stdin=text)
            assert str(told.value).splitlines() == [
                "Nothing was stored.",
                "Line 3 is not an exported message: 'a/#/b' has # before its last level",
                (
                    "Line 4 is not an exported message: payload_base64 is missing; received_at is 1764367200000 (milliseconds?): expected "
                    "Unix seconds, from 0 up to the year 9999; qos is 3: expected 0, 1 or 2; retain is 0, which has the wrong type"
                ),
                "Line 5 is not an exported message: topic is text that UTF-8 can't encode (a lone surrogate)",
            ]
        assert not (tmp_path / "other.db").exists()

    def test_only_what_is_meant(self, path: Path) -> None:
        """Filters hold for an export too."""
        told = run(path, "export", "a/#", "--state", "dead", "--reason", "timeout")
        assert [json.loads(line)["id"] for line in told.stdout.splitlines()] == [4, 6]
