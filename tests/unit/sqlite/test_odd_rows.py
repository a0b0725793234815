"""Rows that somebody has written by hand: refused by the schema, or read, and never the end of a service or a command."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, generate_latest

from fmq.cli import fmq_command
from fmq.errors import StoreRefused
from fmq.message import Incoming, Properties
from fmq.metrics import StoreCollector
from fmq.outcome import Dead, Done, RetryLater
from fmq.queue import Queue, Retention, open_queue
from fmq.selection import Selection, State
from support.clock import FakeClock
from support.counting import counted, counters, execute, query
from support.schema_4 import make_schema_4

_ODD = {
    "received_at": [
        "'2025-01-15 10:30:45'",
        "x'00'",
        "1764367200000",
        "-1",
        "9e999",
        "CAST(x'ff' AS TEXT)",
    ],
    "topic": ["x'ff00'"],
    "retry_count": ["'many'", "-1", "9223372036854775807", "x'01'"],
}
_TEXT = {
    "topic": ["CAST(x'ff' AS TEXT)", "''"],
    "retry_count": ["1.5"],
    "payload": ["CAST(x'ff' AS TEXT)", "42", "1.5", "''"],
    "properties": [
        "'{'",
        "'[]'",
        "'7'",
        '\'{"message_expiry_interval": "soon"}\'',
        "'{\"user_properties\": [[1, 2]]}'",
        "'{\"user_properties\": 7}'",
        "'{\"correlation_data\": 7}'",
        '\'{"colour": "red"}\'',
        "CAST(x'ff' AS TEXT)",
        "'" + "[" * 2_000 + "'",
    ],
    "reason": ["CAST(x'ff' AS TEXT)"],
}
"""What no CHECK can tell from text that is right."""


def odd(*tables: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(column, value) for table in tables for column, values in table.items() for value in values]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q.db"


class TestSchema:
    @pytest.mark.parametrize(("column", "value"), odd(_ODD))
    def test_wrong_types_are_refused(self, path: Path, column: str, value: str) -> None:
        """By name, in an INSERT as in an UPDATE, and the counters stay right."""
        with open_queue(f"sqlite:///{path}") as queue:
            queue.declare("q")
            values = {"topic": "'t'", "payload": "'x'", "received_at": "1", column: value}
            names = ", ".join(values)
            with pytest.raises(apsw.ConstraintError, match=f"{column} is not"):
                execute(path, f"INSERT INTO msg_q ({names}) VALUES ({', '.join(values.values())})")  # noqa: S608
            execute(path, "INSERT INTO msg_q (topic, payload, received_at) VALUES ('t', 'x', 1)")
            with pytest.raises(apsw.ConstraintError, match=f"{column} is not"):
                execute(path, f"UPDATE msg_q SET {column} = {value}")  # noqa: S608
            with pytest.raises(apsw.ConstraintError, match="id leaves no room"):
                execute(
                    path,
                    "INSERT INTO msg_q (id, topic, payload, received_at) VALUES (9223372036854775807, 't', 'x', 1)",
                )
            assert counters(path) == counted(path) == {"q": (1, 0, 0, 0)}

    @pytest.mark.parametrize(("column", "value"), odd(_ODD))
    def test_also_in_a_table_of_an_older_version(self, path: Path, column: str, value: str) -> None:
        """It has no CHECKs: a trigger refuses a plain INSERT."""
        make_schema_4(path)
        with open_queue(f"sqlite:///{path}", clock=FakeClock()):
            old = "CHECK constraint failed: retry_count >= 0"  # this one there was
            values = {"topic": "'t'", "payload": "'x'", "received_at": "1", column: value}
            names = ", ".join(values)
            with pytest.raises(apsw.ConstraintError, match=f"{column} is not|{old}"):
                execute(path, f"INSERT INTO msg_plain ({names}) VALUES ({', '.join(values.values())})")  # noqa: S608


class TestReading:
    """Every such row in a table of an older version, among good ones."""

    @pytest.fixture(
        params=[one for one in odd(_ODD, _TEXT) if one != ("retry_count", "-1")],
        ids=lambda case: f"{case[0]}={case[1][:30]}",
    )
    def queue(self, path: Path, request: pytest.FixtureRequest) -> Iterator[Queue]:
        make_schema_4(path)
        column, value = request.param
        for number in range(1, 5):
            execute(
                path,
                "INSERT INTO msg_plain (id, topic, payload, received_at, properties) "
                "VALUES (?, 't', 'x', 1, '{\"message_expiry_interval\":9}')",
                number,
            )
        execute(path, f"UPDATE msg_plain SET {column} = {value} WHERE id < 4")  # noqa: S608
        with open_queue(f"sqlite:///{path}", clock=FakeClock()) as queue:
            yield queue

    @pytest.mark.parametrize("ordered", [False, True])
    def test_it_is_handled(self, queue: Queue, path: Path, *, ordered: bool) -> None:
        """Claimed, retried, buried, requeued and handled like any other; the good one beside it is whole."""
        seen = []
        for outcome in (RetryLater(0, "again"), Dead("no"), Done()):
            left = 4
            while left:
                claims = queue.claim("plain", 10, lease=60, ordered=ordered)
                assert claims
                left -= len(claims)
                seen += [claim.message for claim in claims]
                assert queue.settle([(claim, outcome) for claim in claims]) == []
                if isinstance(outcome, RetryLater) and ordered:
                    break
            if isinstance(outcome, Dead):
                assert queue.requeue_dead("plain") == 4
        assert counters(path) == counted(path)
        good = [one for one in seen if one.id == 4]
        assert all(one.topic == "t" and one.payload == b"x" for one in good)
        assert {one.properties for one in good} == {Properties(message_expiry_interval=9)}
        for one in seen:
            assert isinstance(one.topic, str)
            assert isinstance(one.payload, bytes)
            assert isinstance(one.received_at, float)
            assert isinstance(one.retry_count, int)

    def test_it_is_shown(self, queue: Queue, path: Path) -> None:
        """No command ends with a traceback, whatever state the row is in."""
        words = [
            *("status", "status --json", "check --max-age 1h", "peek plain", "peek plain --json", "dead list plain"),
            *("dead list plain --json", "dead show plain 1", "export plain --state pending --state dead --state done"),
            *("requeue plain --dry-run --topic t", "peek plain --topic t --since 1h", "dead list plain --reason x"),
            "doctor --skip broker",
        ]
        for settle in (None, Dead("no")):
            if settle:
                queue.settle([(claim, settle) for claim in queue.claim("plain", 10, lease=60)])
            for line in words:
                result = CliRunner().invoke(
                    fmq_command, line.split(), env={"FMQ_QUEUE_URL": f"sqlite:///{path}"}, standalone_mode=True
                )
                assert result.exception is None or type(result.exception).__module__.startswith(("fmq", "builtins")), (
                    line
                )
                assert not isinstance(result.exception, (TypeError, ValueError, OverflowError, AttributeError)), line

    def test_upkeep_goes_on(self, queue: Queue, path: Path) -> None:
        """What is past retention goes, and what is not stays."""
        queue.settle([(claim, Done()) for claim in queue.claim("plain", 10, lease=60)])
        assert queue.maintain(Retention(1e9, 1e9)) == 0
        while queue.maintain(Retention(0, 0)):
            pass
        assert query(path, "SELECT id FROM msg_plain") == []

    def test_marked_by_hand(self, queue: Queue, path: Path) -> None:
        """Of a row that was never settled by fmq only the date is known; an odd one is kept, and nothing else with it."""
        execute(path, "UPDATE msg_plain SET processed = 1")
        while queue.maintain(Retention(0, 0)):
            pass
        assert 4 not in [row[0] for row in query(path, "SELECT id FROM msg_plain")]
        assert queue.find("plain", Selection(State.DONE, since=1.0)).after_id is None


class TestOwnTables:
    """Rows that somebody has written into fmq's own tables."""

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE fmq_queue SET paused_at = '2026-11-24 08:30:00', paused_reason = CAST(x'ff' AS TEXT)",
            "UPDATE fmq_queue SET stored = 'many', pending = 'many', claimed = x'00', done = '', dead = 1.5",
            "INSERT INTO fmq_queue (name, table_name, created_at) VALUES (x'00ff', 'nowhere', 'never')",
            "INSERT INTO fmq_mark VALUES ('q', 'once', 'last')",
            "INSERT INTO fmq_mark VALUES ('q', 9e999, 0)",
            "INSERT INTO fmq_mark VALUES (x'00', x'00', x'00')",
            "UPDATE fmq_note SET value = x'00' WHERE key = 'identity'",
        ],
    )
    def test_no_command_and_no_upkeep_ends(self, path: Path, statement: str) -> None:
        """Counters that nobody can read are shown as 0; a date as 1970; an identity is made anew."""
        with open_queue(f"sqlite:///{path}", clock=FakeClock()) as queue:
            queue.declare("q")
            queue.identity()
            execute(path, statement)
            assert queue.names() == ["q"]
            assert queue.identity() == queue.identity()
            for _ in range(3):
                assert queue.maintain(Retention(60, 60)) == 0
            for line in ("status", "status --json", "check", "check --json", "peek q", "dead list q"):
                result = CliRunner().invoke(fmq_command, [*line.split(), "--queue-url", f"sqlite:///{path}"])
                assert result.exit_code == 0, (line, result.output, result.exception)
            queue.pause("q", "why")
            assert queue.paused("q") is not None
            assert queue.resume("q")
            registry = CollectorRegistry()
            registry.register(StoreCollector(queue))
            assert b"fmq_store_up 1.0" in generate_latest(registry)

    def test_without_the_tokens_nothing_is_claimed(self, path: Path) -> None:
        """A token that was given out before would let a stale settlement pass."""
        with open_queue(f"sqlite:///{path}", clock=FakeClock()) as queue:
            queue.declare("q")
            queue.put([Incoming("q", "t", b"x", 1.0)])
            execute(path, "DELETE FROM fmq_token")
            with pytest.raises(StoreRefused, match="not as fmq made them"):
                queue.claim("q", 1, lease=60)
            assert queue.stats("q").pending == 1
