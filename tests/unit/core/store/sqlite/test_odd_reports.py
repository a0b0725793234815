"""Rows of the history and of the services that somebody has written by hand, or whose contents no service of ours writes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fmq.errors import QueueInUse
from fmq.message import NO_PROPERTIES
from fmq.store.backends import open_store
from fmq.store.properties import readable_properties
from fmq.store.records import QueueMinute, ServiceReport
from fmq.store.removal import require_unused
from fmq.store.roles import Store
from support.clock import FakeClock
from support.counting import execute

_GOOD: list[Any] = [5, 4, 3, 2, 1, 0, 0, 2.5]
_DEEP = "[" * 100_000 + "]" * 100_000
_HUGE = "1" + "0" * 400
_ODD_JSON = ["null", '"x"', "true", "[]", "{}", "NaN", "-Infinity", "1e400", "-1", _HUGE, "1" + "0" * 5_000, _DEEP]


def _short(case: object) -> str:
    return str(case)[:20]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "q.db"


@pytest.fixture
def queue(path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{path}", clock=FakeClock()) as store:
        store.declare("q")
        store.declare("other")
        yield store


class TestHistory:
    @pytest.mark.parametrize("odd", [*_ODD_JSON, "-0.5"], ids=_short)
    @pytest.mark.parametrize("place", [0, 3, 6, 7])
    def test_odd_counters(self, path: Path, queue: Store, place: int, odd: str) -> None:
        """The queue is left out of that minute; what is good stays."""
        odd = "7e400" if (place, odd) == (7, "null") else odd  # without messages, no age is reported
        row = ",".join(odd if place == at else str(one) for at, one in enumerate(_GOOD))
        _note(path, 1, f'{{"q":[{row}],"other":{_GOOD}}}')
        _note(path, 2, f'{{"q":{_GOOD},"other":{_GOOD}}}')
        last = queue.history()[-1]
        assert (last.minute, dict(last.queues)) == (2, {"q": QueueMinute(*_GOOD), "other": QueueMinute(*_GOOD)})
        for minute in queue.history()[:-1]:
            assert dict(minute.queues) == {"other": QueueMinute(*_GOOD)}
        for minute in queue.history(name="q")[:-1]:
            assert dict(minute.queues) == {}

    @pytest.mark.parametrize(
        "data", [*_ODD_JSON, '{"q":"12345678"}', '{"q":[1]}', f'{{"q":{_DEEP}}}', "{", ""], ids=_short
    )
    def test_odd_rows(self, path: Path, queue: Store, data: str) -> None:
        """They have no queue, or are not there."""
        _note(path, 1, data)
        for found in (queue.history(), queue.history(name="q")):
            assert not any(one.queues for one in found)


class TestServices:
    @pytest.mark.parametrize("odd", [*_ODD_JSON, '"\\ud800"'], ids=_short)
    @pytest.mark.parametrize("field", ["kind", "host", "pid", "version", "started_at", "state"])
    def test_odd_reports(self, path: Path, queue: Store, field: str, odd: str) -> None:
        """Each field has its type, or the report is left out; none stops the deletion of a queue."""
        listener = ServiceReport("listener a/1", "listener", "a", 1, "0.2.0", 5.0, {"queues": ["q"]})
        queue.report(listener)
        queue.report(ServiceReport("odd", "listener", "b", 2, "0.2.0", 5.0, {"queues": []}))
        data = {"kind": "listener", "host": "b", "pid": 2, "version": "1", "started_at": 5.0, "state": {}, field: "@"}
        execute(path, "UPDATE fmq_service SET data = ? WHERE name = 'odd'", json.dumps(data).replace('"@"', odd))
        found = {one.report.name: one.report for one in queue.services()}
        assert found.pop("listener a/1") == listener
        for one in found.values():
            assert one.kind.encode().decode() == one.kind
            assert [type(one.host), type(one.version), type(one.pid), type(one.started_at)] == [str, str, int, float]
            assert isinstance(one.state, dict)
        require_unused(queue, "other")
        with pytest.raises(QueueInUse):
            require_unused(queue, "q")


def _note(path: Path, minute: int, data: str) -> None:
    execute(path, "INSERT INTO fmq_minute (minute, data) VALUES (?, ?)", minute, data)


def test_a_log_has_no_contents(caplog: pytest.LogCaptureFixture) -> None:
    """Contents that are hidden on the web page must not be in its log either."""
    assert readable_properties('{"colour": "secret"}') == NO_PROPERTIES
    assert "can't be read" in caplog.text
    assert "secret" not in caplog.text
