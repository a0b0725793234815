"""What a processor with several routes shows of them."""

from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from fmq.finding import Finding
from fmq_processor.doctor import check_handler
from fmq_processor.route_handlers import Handlers
from fmq_processor.routes import load_routes
from fmq_processor.standing import Standing

FILE = """
[[route]]
name = "one"
queues = ["a"]
handler = "file"
file.path = "one.jsonl"
[[route]]
name = "two"
queues = ["b"]
handler = "file"
file.path = "two.jsonl"
"""


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fmq.toml").write_text(FILE, encoding="utf-8")
    return {}


def test_two_routes_with_the_same_handler(environ: dict[str, str]) -> None:
    """Each has its metrics, with its name; a new handler begins with new ones."""
    routes = load_routes({}, environ)[1]
    registry = CollectorRegistry()
    handlers = Handlers(routes, registry)
    text = generate_latest(registry).decode()
    assert 'fmq_file_lines_total{route="one"} 0.0' in text
    assert 'fmq_file_lines_total{route="two"} 0.0' in text
    assert text.count("# TYPE fmq_file_lines_total counter") == 1
    assert handlers.names == "file"
    again = handlers.again(routes[0])
    assert again is not handlers.first(routes[0])
    assert generate_latest(registry).decode() == text


def test_a_misspelt_queue(environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """Is a warning at the start if the store has one that resembles it. A queue that is served by another route is not meant."""
    routes = load_routes({}, environ)[1]
    standing = Standing(routes, Handlers(routes, CollectorRegistry()), cast("Any", None), {})
    standing.log_misspelt(["b", "A", "quite/different"])
    standing.log_misspelt(["a", "b"])
    standing.log_misspelt([])
    assert caplog.messages == ["The store has no queue 'a' yet. Did you mean 'A'?"]


def test_several_queues_in_one_argument(environ: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """A comma may belong to the name of a queue, so it is a warning if there are queues of the parts."""
    Path("fmq.toml").unlink()
    routes = load_routes({"topics": ("a,b",)}, environ, arguments={"topics": "TOPIC"})[1]
    Standing(routes, Handlers(routes, CollectorRegistry()), cast("Any", None), {}).log_misspelt(["a"])
    assert caplog.messages == ["The store has no queue 'a,b' yet. Several queues are given with --topics=a,b"]


def test_one_route(environ: dict[str, str]) -> None:
    """Its handler's metrics have no label of a route, as ever."""
    routes = load_routes({}, environ)[1]
    registry = CollectorRegistry()
    Handlers(routes[:1], registry)
    assert "fmq_file_lines_total 0.0" in generate_latest(registry).decode()


def test_the_doctor_advises_on_a_setting_of_a_handler(tmp_path: Path) -> None:
    """For a certificate that can't be read, it does not ask for another handler."""
    (tmp_path / "ca.pem").write_text("broken")
    environ = {
        "FMQ_CONFIG": "/dev/null",
        "FMQ_TOPICS": "a",
        "FMQ_HANDLER": "webhook",
        "FMQ_WEBHOOK_URL": "https://127.0.0.1",
        "FMQ_WEBHOOK_CA_FILE": str(tmp_path / "ca.pem"),
    }
    (found,) = check_handler(environ)
    assert "not a PEM file with certificates" in found.text
    assert found.advice == "Correct it. Processors do not start with it."


def test_the_doctor_examines_each(environ: dict[str, str]) -> None:
    """And names the route."""
    found: list[Finding] = list(check_handler(environ))
    assert [one.text.split(":")[0] for one in found] == ["route one", "route two"]
