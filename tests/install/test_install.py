"""The wheels, installed as users install them: by pip, pipx and uv, each in a new environment."""

import sys
from pathlib import Path

import pytest

from install.conftest import PROGRAMS, ROOT, WHEELS, Run

_COMMANDS = ("fmq", "fmq-listen", "fmq-process")
_HEAVY = ("amqtt", "httptools", "opentelemetry", "psycopg", "rich", "sqlalchemy", "starlette", "yarl")
"""What a plain fmq-mqtt does without."""
_HANDLER = """
from fmq import Message, Reject


def handle(message: Message) -> None:
    if not message.payload:
        raise Reject("no value")
"""


@pytest.fixture
def environment(tmp_path: Path, run: Run) -> Path:
    """A new environment with pip."""
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    return tmp_path / "venv/bin"


def install(run: Run, environment: Path, *names: str) -> None:
    run(environment / "pip", "install", "--quiet", "--find-links", WHEELS, *names)


def test_pip_brings_the_whole_command(run: Run, environment: Path, tmp_path: Path) -> None:
    """fmq-mqtt alone brings listener and processor, and none of the heavy packages; what is missing says how to get it."""
    install(run, environment, "fmq-mqtt")
    for command in _COMMANDS:
        assert "Usage: " in run(environment / command, "--help")
    told = run(
        environment / "python", "-c", f"from importlib.util import find_spec as f; print([n for n in {_HEAVY} if f(n)])"
    )
    assert told == "[]\n"
    fmq = environment / "fmq"
    for words, settings, extra in (
        (("web",), {}, "web"),
        (("demo",), {}, "demo"),
        (("process", "q", "--handler", "webhook"), {"FMQ_WEBHOOK_URL": "http://127.0.0.1/"}, "webhook"),
        (("process", "q", "--handler", "sql"), {"FMQ_SQL_URL": "sqlite:////tmp/x.db"}, "sql"),
        (("status",), {"FMQ_QUEUE_URL": "postgresql://127.0.0.1/fmq"}, "postgres"),
        (("listen", "q"), {"FMQ_TRACING": "otel"}, "otel"),
    ):
        told = run(fmq, *words, code=2, **settings)
        assert f"is not installed. Install it with: pip install 'fmq-mqtt[{extra}]'" in told
    assert "doctor" in run(fmq, "--help")
    assert "handler" in run(fmq, "doctor", "--skip", "broker", code=0)

    (tmp_path / "mine.py").write_text(_HANDLER)
    run(PROGRAMS / "mypy", "--strict", "--python-executable", environment / "python", "mine.py")


def test_pip_with_all_extras(run: Run, environment: Path) -> None:
    """Everything works together: the demo loses nothing, and every handler and command is there."""
    install(run, environment, "fmq-mqtt[all]")
    assert "Usage: " in run(environment / "fmq", "web", "--help")
    run(environment / "fmq", "demo", "--for", "2")
    for handler, settings in (
        ("webhook", {"FMQ_WEBHOOK_URL": "http://127.0.0.1/"}),
        ("sql", {"FMQ_SQL_URL": "postgresql://127.0.0.1/x"}),
    ):
        run(environment / "fmq", "doctor", "--skip", "broker", FMQ_HANDLER=handler, **settings)


def test_one_part_alone(run: Run, environment: Path) -> None:
    """The small distributions, as in the images, say what brings the commands that they lack."""
    install(run, environment, "fmq-listener")
    assert "Usage: " in run(environment / "fmq-listen", "--help")
    assert "pip install fmq-mqtt\n" in run(environment / "fmq", "process", code=2)


def test_pipx(run: Run, tmp_path: Path) -> None:
    """With pipx: it puts the three commands on the PATH; extras go in brackets."""
    settings = {
        "PIPX_HOME": f"{tmp_path}/pipx",
        "PIPX_BIN_DIR": f"{tmp_path}/bin",
        "PIPX_DEFAULT_PYTHON": sys.executable,
    }
    run(PROGRAMS / "pipx", "install", "--pip-args", f"--find-links {WHEELS}", "fmq-mqtt[web]", **settings)
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == [*_COMMANDS]
    assert "Usage: " in run(tmp_path / "bin/fmq", "web", "--help")


def test_uv(run: Run, tmp_path: Path) -> None:
    """With uv tool install: the same three, of the version that the wheels have."""
    settings = {"UV_TOOL_DIR": f"{tmp_path}/tools", "UV_TOOL_BIN_DIR": f"{tmp_path}/bin", "UV_PYTHON": sys.executable}
    run(PROGRAMS / "uv", "tool", "install", "--find-links", WHEELS, "fmq-mqtt[webhook]", **settings)
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == [*_COMMANDS]
    told = run(tmp_path / "bin/fmq", "--version")
    assert told == f"fmq, version {_version()}\n"


def test_the_wheels_belong_together() -> None:
    """All have one version, which the package states too."""
    assert {path.name.split("-")[1] for path in WHEELS.iterdir()} == {_version()}
    assert len(list(WHEELS.iterdir())) == 6


def _version() -> str:
    text = (ROOT / "shared/fmq/__init__.py").read_text(encoding="utf-8")
    return text.partition('__version__ = "')[2].partition('"')[0]
