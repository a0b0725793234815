"""The dashboards at 200 queues, 12 routes and two installations, on a real Prometheus."""

import time
from collections.abc import Iterator

import pytest

from monitoring.expressions import dashboards, filled, panels
from monitoring.many_queues import QUEUES, prometheus, queue
from monitoring.programs import Prometheus

_SECONDS, _STEP = 3600, 60
_LINES = 24
"""Of the dashboard of all queues: two queries of the ten highest, and some."""


class _Many:
    def __init__(self, server: Prometheus, begun: float) -> None:
        self._server = server
        self._begun = begun

    def series(self, expression: str, chosen: str) -> int:
        """How many series a panel draws over the hour, with this choice of queues."""
        asked = filled(expression, chosen, window="300s", step=f"{_STEP}s", whole=f"{_SECONDS}s")
        return len(self._server.between(asked, self._begun, self._begun + _SECONDS, step=_STEP))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Many]:
    folder = tmp_path_factory.mktemp("many")
    (folder / "prometheus").mkdir()
    begun = float(int(time.time()) - _SECONDS)
    with prometheus(folder, begun, seconds=_SECONDS, step=_STEP) as server:
        yield _Many(server, begun)


@pytest.mark.parametrize("name", dashboards())
def test_few_lines_in_each_panel(many: _Many, name: str) -> None:
    """Each panel shows something, and no more lines than its legend can hold. The table has every queue."""
    chosen = queue(7) if name == "fmq-queue.json" else ".*"
    for panel in panels(dashboards()[name]):
        drawn = [many.series(target["expr"], chosen) for target in panel["targets"]]
        title = f"{name}: {panel['title']}: {drawn}"
        assert all(drawn), title
        if panel["type"] == "table":
            assert max(drawn) == QUEUES, title
        elif panel["type"] == "stat":
            assert drawn == [1], title
        else:
            assert sum(drawn) <= _LINES, title
