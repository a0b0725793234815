"""A real SQLite store and the reference: any history of calls gives the same messages, states and counters."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from model.movers import MovedStore
from model.operators import OperatedStore
from model.reference import QUEUES, Row
from model.services import SETTINGS
from support.backends import SqliteUnderTest


class SqliteStore(OperatedStore):
    """With an operator's own SQL on the guide's columns, which other backends do not have."""

    scheme = "sqlite"
    backend: SqliteUnderTest

    @rule(
        name=st.sampled_from(QUEUES),
        change=st.sampled_from(["UPDATE {} SET processed = 1", "UPDATE {} SET processed = 0", "DELETE FROM {}"]),
        data=st.data(),
    )
    def operators_own_sql(self, name: str, change: str, data: st.DataObject) -> None:
        """Somebody marks a message as done, replays it or deletes it by hand; dead letters are left to fmq."""
        rows = self.reference.rows[name]
        numbers = sorted(number for number, row in rows.items() if row.state != "dead")
        if not numbers:
            return
        number = data.draw(st.sampled_from(numbers))
        self.backend.change(name, f"{change} WHERE id = ?", number)
        row = rows[number]
        if change.startswith("DELETE"):
            del rows[number]
        elif change.endswith("1") and row.state != "done":
            row.state, row.token, row.route = "done", None, None
            self.reference.totals[name].handled += 1
        elif change.endswith("0") and row.state == "done":
            row.state, row.due = "pending", 0.0

    @rule(name=st.sampled_from(QUEUES), again=st.booleans(), data=st.data())
    def operators_own_insert(self, name: str, data: st.DataObject, *, again: bool) -> None:
        """Somebody inserts a message by hand, at the end or with the id of one that is gone."""
        rows, last = self.reference.rows[name], self.reference.last[name]
        gone = sorted(set(range(1, last + 1)) - set(rows))
        number = data.draw(st.sampled_from(gone)) if again and gone else last + 1
        statement = "INSERT INTO {} (id, topic, payload, received_at) VALUES (?, 'x', 'p', ?)"
        self.backend.change(name, statement, number, self.clock.wall())
        rows[number] = Row("x", changed=None)
        self.reference.totals[name].stored += 1
        self.reference.last[name] = max(last, number)


SqliteStore.TestCase.settings = SETTINGS
TestSqlite = SqliteStore.TestCase


class MovedSqliteStore(MovedStore):
    scheme = "sqlite"


MovedSqliteStore.TestCase.settings = SETTINGS
TestMovedSqlite = MovedSqliteStore.TestCase
