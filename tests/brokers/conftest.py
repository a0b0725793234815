"""Every broker of the suite as a running service, trials of fmq with each version of MQTT that it speaks, and the table.

A missing broker fails, it never skips.
"""

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import pytest

from brokers.table import Cell, Table
from support.brokers.all import BROKERS
from support.brokers.service import Missing, Service
from support.brokers.trial import Trial, spoken

_TABLE = pytest.StashKey[Table]()
_CELL = "cell"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true", help="write the table of features into docs/brokers.md")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "feature(name): the row of the table that the test makes")
    config.stash[_TABLE] = Table()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker for each broker, so that each is started once."""
    for item in items:
        name = _param(item)
        if name:
            item.add_marker(pytest.mark.xdist_group(name))


def _param(item: pytest.Item) -> str:
    call = getattr(item, "callspec", None)
    return str(call.params.get("kind", "")) if call is not None else ""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note the row and the column, for a test that fails before it says anything."""
    marker = item.get_closest_marker("feature")
    if marker is not None and _param(item):
        cell = Cell(marker.args[0], _param(item), "", "")
        item.user_properties.append((_CELL, json.dumps(cell.as_row())))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect what the tests say; with several workers this runs where their reports come together."""
    config = _controller
    if config is None or (report.when != "call" and not report.failed):
        return
    table = config.stash[_TABLE]
    for name, value in report.user_properties:
        if name == _CELL:
            table.add(Cell(*json.loads(str(value))), failed=report.failed)


def pytest_sessionstart(session: pytest.Session) -> None:
    global _controller  # noqa: PLW0603 - report hooks are not given the configuration
    _controller = None if hasattr(session.config, "workerinput") else session.config


_controller: pytest.Config | None = None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    table = config.stash[_TABLE]
    terminalreporter.section("feature by broker")
    terminalreporter.write_line(table.as_markdown())
    if config.getoption("--write-table"):
        table.write()


@pytest.fixture(scope="session", params=BROKERS)
def kind(request: pytest.FixtureRequest) -> type[Service]:
    """One broker after the other."""
    found = BROKERS[request.param]
    try:
        found.version()
    except Missing as error:
        raise pytest.fail.Exception(
            f"{found.title} is missing: {error}; run make test-brokers", pytrace=False
        ) from None
    return found


@pytest.fixture(scope="session")
def service(kind: type[Service], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """It, running, with the configuration of its page."""
    with kind(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="session")
def versions(service: Service) -> Sequence[str]:
    """The versions of MQTT that it answers with a CONNACK that accepts."""
    return spoken(service)


@pytest.fixture
def says(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Writes a cell of the table; ``version`` where it holds for one version of MQTT only."""
    marker = request.node.get_closest_marker("feature")

    def write(text: str, version: str = "") -> None:
        cell = Cell(marker.args[0], _param(request.node), version, text)
        request.node.user_properties.append((_CELL, json.dumps(cell.as_row())))

    return write


@pytest.fixture
def trials(
    service: Service, versions: Sequence[str], tmp_path: Path, says: Callable[..., None]
) -> Iterator[Iterator[Trial]]:
    """A trial for each version of MQTT that the broker speaks, one after the other, each with a folder of its own."""

    def each() -> Generator[Trial, None, None]:
        for version in versions:
            with Trial(service, version, tmp_path / version.replace(".", ""), says) as trial:
                yield trial

    iterator = each()
    yield iterator
    iterator.close()
