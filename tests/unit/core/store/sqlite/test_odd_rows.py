"""Rows that somebody has written by hand: refused by the schema, or read, and never the end of a service or a command."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, generate_latest

from fmq.cli.main import fmq_command
from fmq.errors import StoreRefused
from fmq.message import Incoming, Properties
from fmq.outcome import Dead, Done, RetryLater
from fmq.service.reporting.store_collector import StoreCollector
from fmq.store.backends import open_store
from fmq.store.moving.mover import Mover
from fmq.store.options import Retention
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from support.clock import FakeClock
from support.counting import counted, counters, execute, query
from support.old_stores import make_old_store

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


_GOOD = 100
"""The id of a row that nobody has changed."""


def odd(*tables: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(column, value) for table in tables for column, values in table.items() for value in values]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q.db"


class TestSchema:
    @pytest.mark.parametrize(("column", "value"), odd(_ODD))
    def test_wrong_types_are_refused(self, path: Path, column: str, value: str) -> None:
        """By name, in an INSERT as in an UPDATE, and the counters stay right."""
        with open_store(f"sqlite:///{path}") as queue:
            queue.declare("q")
            values = {"topic": "'t'", "payload": "'x'", "received_at": "1", column: value}
            names = ", ".join(values)
            with pytest.raises(apsw.ConstraintError, match=f"{column} is not"):
                execute(path, f"INSERT INTO msg_q ({names}) VALUES ({', '.join(values.values())})")
            execute(path, "INSERT INTO msg_q (topic, payload, received_at) VALUES ('t', 'x', 1)")
            with pytest.raises(apsw.ConstraintError, match=f"{column} is not"):
                execute(path, f"UPDATE msg_q SET {column} = {value}")
            with pytest.raises(apsw.ConstraintError, match="id leaves no room"):
                execute(
                    path,
                    "INSERT INTO msg_q (id, topic, payload, received_at) VALUES (9223372036854775807, 't', 'x', 1)",
                )
            assert counters(path) == counted(path) == {"q": (1, 0, 0, 0)}

    @pytest.mark.parametrize(("column", "value"), odd(_ODD))
    def test_also_in_a_table_of_an_older_version(self, path: Path, column: str, value: str) -> None:
        """It has no CHECKs: a trigger refuses a plain INSERT."""
        make_old_store(path, 4)
        with open_store(f"sqlite:///{path}", clock=FakeClock()):
            old = "CHECK constraint failed: retry_count >= 0"  # this one there was
            values = {"topic": "'t'", "payload": "'x'", "received_at": "1", column: value}
            names = ", ".join(values)
            with pytest.raises(apsw.ConstraintError, match=f"{column} is not|{old}"):
                execute(path, f"INSERT INTO msg_plain ({names}) VALUES ({', '.join(values.values())})")


class TestReading:
    """Every such row in a table of an older version, with a good one behind them; a column at a time."""

    @pytest.fixture(params=sorted({*_ODD, *_TEXT}))
    def queue(self, path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
        make_old_store(path, 4)
        column = request.param
        values = [
            value for name, value in odd(_ODD, _TEXT) if name == column and (name, value) != ("retry_count", "-1")
        ]
        for number in (*range(1, len(values) + 1), _GOOD):
            execute(
                path,
                "INSERT INTO msg_plain (id, topic, payload, received_at, properties) "
                "VALUES (?, 't', 'x', 1, '{\"message_expiry_interval\":9}')",
                number,
            )
        for number, value in enumerate(values, 1):
            execute(path, f"UPDATE msg_plain SET {column} = {value} WHERE id = ?", number)
        with open_store(f"sqlite:///{path}", clock=FakeClock()) as queue:
            yield queue

    def test_it_moves(self, queue: Store, path: Path) -> None:
        """To a store that takes none of these values: each row arrives, and nothing is left."""
        total = len(query(path, "SELECT id FROM msg_plain"))
        with open_store(f"sqlite:///{path}.target", clock=FakeClock()) as target:
            target.declare("plain")
            mover = Mover(queue, target)
            left = list(queue.find("plain", Selection(State.PENDING)).ids)
            while left and (moved := mover.move("plain", left, State.PENDING)):
                left = [one for one in left if one not in moved]
            assert mover.moved["plain"].checked == total
            assert target.stats("plain").pending == total
        assert counted(path)["plain"] == (0, 0, 0, 0)

    @pytest.mark.parametrize("ordered", [False, True])
    def test_it_is_handled(self, queue: Store, path: Path, *, ordered: bool) -> None:
        """Claimed, retried, buried, requeued and handled like any other; the good one next to it is whole."""
        seen = []
        total = len(query(path, "SELECT id FROM msg_plain"))
        for outcome in (RetryLater(0, "again"), Dead("no"), Done()):
            left = total
            while left:
                claims = queue.claim("plain", 50, lease=60, ordered=ordered)
                assert claims
                left -= len(claims)
                seen += [claim.message for claim in claims]
                assert queue.settle([(claim, outcome) for claim in claims]) == []
                if isinstance(outcome, RetryLater) and ordered:
                    break
            if isinstance(outcome, Dead):
                assert queue.requeue_dead("plain") == total
        assert counters(path) == counted(path)
        good = [one for one in seen if one.id == _GOOD]
        assert all(one.topic == "t" and one.payload == b"x" for one in good)
        assert {one.properties for one in good} == {Properties(message_expiry_interval=9)}
        for one in seen:
            assert isinstance(one.topic, str)
            assert isinstance(one.payload, bytes)
            assert isinstance(one.received_at, float)
            assert isinstance(one.retry_count, int)

    def test_it_is_shown(self, queue: Store, path: Path) -> None:
        """No command ends with a traceback, whatever state the row is in."""
        words = [
            *("status", "status --json", "check --max-age 1h", "peek plain", "peek plain --json", "dead list plain"),
            *("dead list plain --json", "dead show plain 1", "export plain --state pending --state dead --state done"),
            *("requeue plain --dry-run --topic t", "peek plain --topic t --since 1h", "dead list plain --reason x"),
            "doctor --skip broker",
        ]
        for settle in (None, Dead("no")):
            if settle:
                queue.settle([(claim, settle) for claim in queue.claim("plain", 50, lease=60)])
            for line in words:
                result = CliRunner().invoke(
                    fmq_command, line.split(), env={"FMQ_QUEUE_URL": f"sqlite:///{path}"}, standalone_mode=True
                )
                assert result.exception is None or type(result.exception).__module__.startswith(("fmq", "builtins")), (
                    line
                )
                assert not isinstance(result.exception, (TypeError, ValueError, OverflowError, AttributeError)), line

    def test_pages_show_them(self, queue: Store) -> None:
        """Every row has a head and a detail, in each state."""
        for settle in (None, Dead("no")):
            if settle:
                queue.settle([(claim, settle) for claim in queue.claim("plain", 50, lease=60)])
            for state in State:
                for text in (None, "x"):
                    queue.heads("plain", Selection(state, since=0.0, reason=""), text=text)
            heads = queue.heads("plain", Selection(State.ANY)).heads
            assert heads
            for one in heads:
                assert queue.detail("plain", one.id) is not None
                assert queue.payload("plain", one.id, 0, 10) == one.payload[:10]
            queue.dead_groups("plain")

    def test_upkeep_goes_on(self, queue: Store, path: Path) -> None:
        """What is past retention goes, and what is not stays."""
        queue.settle([(claim, Done()) for claim in queue.claim("plain", 50, lease=60)])
        assert queue.maintain(Retention(1e9, 1e9)) == 0
        while queue.maintain(Retention(0, 0)):
            pass
        assert query(path, "SELECT id FROM msg_plain") == []

    def test_marked_by_hand(self, queue: Store, path: Path) -> None:
        """Of a row that was never settled by fmq only the date is known; an odd one is kept, and nothing else with it."""
        execute(path, "UPDATE msg_plain SET processed = 1")
        while queue.maintain(Retention(0, 0)):
            pass
        assert _GOOD not in [row[0] for row in query(path, "SELECT id FROM msg_plain")]
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
            "INSERT INTO fmq_minute VALUES (29000000, 'not JSON')",
            "INSERT INTO fmq_minute VALUES (29000001, CAST(x'ff' AS TEXT))",
            """INSERT INTO fmq_minute VALUES (29000002, '{"q": [1]}')""",
            "INSERT INTO fmq_minute VALUES (29000003, '[]')",
            "INSERT INTO fmq_service VALUES ('s', 1800000000.0, '{}')",
            "INSERT INTO fmq_service VALUES (x'ff', 'now', x'ff')",
            "INSERT INTO fmq_action (at, actor, kind, queue, selection, changed) VALUES ('now', x'ff', x'ff', x'ff', x'ff', '')",
            "UPDATE fmq_queue SET handled = 'many', failed = '', died = x'00'",
        ],
    )
    def test_no_command_and_no_upkeep_ends(self, path: Path, statement: str) -> None:
        """Counters that nobody can read are shown as 0; a date as 1970; an identity is made anew."""
        with open_store(f"sqlite:///{path}", clock=FakeClock()) as queue:
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
            assert not any(one.queues for one in queue.history())
            assert not any(one.queues for one in queue.history(name="q"))
            assert not queue.services()
            assert all(action.changed == 0 for action in queue.actions())
            queue.pause("q", "why")
            assert queue.paused("q") is not None
            assert queue.resume("q")
            registry = CollectorRegistry()
            registry.register(StoreCollector(queue))
            assert b"fmq_store_up 1.0" in generate_latest(registry)

    def test_without_the_tokens_nothing_is_claimed(self, path: Path) -> None:
        """A token that was given out before would let a stale settlement pass."""
        with open_store(f"sqlite:///{path}", clock=FakeClock()) as queue:
            queue.declare("q")
            queue.put([Incoming("q", "t", b"x", 1.0)])
            execute(path, "DELETE FROM fmq_token")
            with pytest.raises(StoreRefused, match="not as fmq made them"):
                queue.claim("q", 1, lease=60)
            assert queue.stats("q").pending == 1
