"""`fmq doctor` on one healthy store and on many broken ones. Its look at the broker is among the integration tests."""

import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner

from fmq.cli import checks
from fmq.cli.main import fmq_command
from fmq.finding import Finding, Level
from fmq.message import Incoming
from fmq.outcome import Dead
from fmq.store.backends import open_store
from support.clock import FakeClock

_HOUR = 3_600.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with one queue and nothing in it."""
    path = tmp_path / "q.db"
    with open_store(f"sqlite:///{path}") as queue:
        queue.declare("q")
    return path


def findings(path: Path, **environ: str) -> list[Finding]:
    """What all checks but the broker's find."""
    whole = {"FMQ_QUEUE_URL": f"sqlite:///{path}", **environ}
    found: list[Finding] = []
    for name, check in checks.all_checks(thorough=False).items():
        if name != "broker":
            found += checks.run(check, whole)
    return found


def bad(found: list[Finding]) -> dict[str, Level]:
    """What is not ok. The disk of the machine that runs this may be almost full."""
    return {one.about: one.level for one in found if one.level is not Level.OK and one.about not in ("disk", "folder")}


def put(path: Path, received_at: float, *, dead: bool = False) -> None:
    with open_store(f"sqlite:///{path}") as queue:
        queue.put([Incoming("q", "t", b"", received_at)])
        if dead:
            queue.settle([(claim, Dead("x")) for claim in queue.claim("q", 1, lease=60)])


def test_healthy(path: Path) -> None:
    """Nothing to say, about each thing that was looked at; and the files are as before."""
    before = path.read_bytes()
    found = findings(path)
    assert bad(found) == {}
    about = {one.about for one in found}
    assert about >= {
        "settings",
        "sqlite",
        "database",
        "write-ahead log",
        "integrity",
        "writing",
        "queue q",
        "clock",
        "handler",
    }
    assert all(not one.advice for one in found if one.level is Level.OK)
    sql = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert sql.execute("SELECT count(*) FROM msg_q").get == 0
    sql.close()
    assert len(before) == path.stat().st_size


def test_settings(path: Path) -> None:
    """Every wrong setting and misspelt name is a problem, reported once although several services read it."""
    found = findings(path, FMQ_BATHC="3", FMQ_BATCH="0", FMQ_LOG_LEVEL="LOUD")
    wrong = [one for one in found if one.level is Level.PROBLEM]
    told = ["FMQ_BATCH", "FMQ_LOG_LEVEL", "Unknown setting FMQ_BATHC. Did you mean FMQ_BATCH?"]
    assert sorted(one.text.split("=")[0] for one in wrong) == told


def test_a_configuration_file(path: Path, tmp_path: Path) -> None:
    """It is read as services read it: its mistakes are problems, and secrets that everybody can read a warning."""
    file = tmp_path / "fmq.toml"
    file.write_text('[broker]\nusername = "anna"\npassword = "hunter2"\n')
    file.chmod(0o600)
    found = findings(path, FMQ_CONFIG=str(file))
    assert bad(found) == {}
    assert any(str(file) in one.text for one in found if one.about == "settings")
    file.chmod(0o644)
    found = findings(path, FMQ_CONFIG=str(file))
    assert bad(found) == {"configuration file": Level.WARNING}
    assert "hunter2" not in str(found)
    file.write_text("[broker]\nurll = 'mqtt://x'\n")
    (wrong,) = [one for one in findings(path, FMQ_CONFIG=str(file)) if one.level is Level.PROBLEM]
    assert wrong.text == f"{file}:2: unknown key urll in [broker]. Did you mean url?"


def test_a_handler_that_is_not_there(path: Path) -> None:
    """It is loaded as a processor would."""
    assert bad(findings(path, FMQ_HANDLER="nowhere:handle")) == {"handler": Level.PROBLEM}


def test_no_store_yet(tmp_path: Path) -> None:
    """No file is a warning and is not made; no folder is a problem."""
    assert bad(findings(tmp_path / "q.db")) == {"database": Level.WARNING}
    assert not (tmp_path / "q.db").exists()
    (finding,) = [one for one in findings(tmp_path / "no" / "q.db") if one.about == "folder"]
    assert finding.level is Level.PROBLEM


def test_damage(path: Path) -> None:
    """Told, with what to do, and without a traceback; nothing opens the file for writing any more."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    digest = path.read_bytes()
    found = findings(path)
    assert bad(found) == {"integrity": Level.PROBLEM}
    assert "fmq set-aside" in next(one.advice for one in found if one.about == "integrity")
    assert path.read_bytes() == digest


def test_what_is_no_store(tmp_path: Path) -> None:
    """A text file, and a database of another program."""
    text = tmp_path / "text.db"
    text.write_text("hello " * 1000)
    text.chmod(0o600)
    assert bad(findings(text)) == {"integrity": Level.PROBLEM}
    other = tmp_path / "other.db"
    sql = apsw.Connection(str(other))
    sql.execute("CREATE TABLE t (x)")
    sql.close()
    other.chmod(0o600)
    assert bad(findings(other)) == {"database": Level.PROBLEM}


@pytest.mark.parametrize(("version", "level"), [(1, Level.PROBLEM), (2, Level.WARNING), (10_000, Level.PROBLEM)])
def test_another_schema(path: Path, version: int, level: Level) -> None:
    """An older one is a warning and is not migrated by looking at it, a newer one a problem."""
    sql = apsw.Connection(str(path))
    sql.pragma("user_version", version)
    sql.close()
    assert bad(findings(path)) == {"database": level}
    sql = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert sql.pragma("user_version") == version
    sql.close()


def test_files(path: Path) -> None:
    """What every user can read, and what belongs to another one."""
    usual = stat.S_IMODE(path.stat().st_mode)
    path.chmod(usual | stat.S_IROTH)
    assert bad(findings(path)) == {"files": Level.WARNING}
    path.chmod(usual)
    if os.geteuid() == 0:
        with open_store(f"sqlite:///{path}"):  # holds the log and its index there
            os.chown(path.with_name("q.db-wal"), 4_711, -1)
            assert bad(findings(path)) == {"files": Level.WARNING}
        os.chown(path, 4_711, -1)
        assert "owner 4711" in next(one.text for one in findings(path) if one.about == "files")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """While another program holds the write lock."""
    sql = apsw.Connection(str(path))
    sql.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        sql.close()


def test_a_store_that_cannot_be_written(path: Path) -> None:
    """Everything reads well, and a commit does not go through."""
    with locked(path):
        assert bad(findings(path, FMQ_BUSY_SECONDS="0.1")) == {"writing": Level.PROBLEM}


def test_a_backlog_without_processors(path: Path) -> None:
    """Messages that wait long while none is claimed; fresh ones, and those beside claimed ones, are no reason."""
    put(path, time.time())
    assert bad(findings(path)) == {}
    put(path, time.time() - _HOUR)
    with open_store(f"sqlite:///{path}") as queue:
        queue.settle([(claim, Dead("x")) for claim in queue.claim("q", 1, lease=60)])
        found = findings(path)
        assert bad(found) == {"queue q": Level.WARNING}
        assert any("no processor holds a message" in one.text for one in found)
        put(path, time.time())
        assert len(queue.claim("q", 1, lease=60)) == 1
        assert not any("no processor holds a message" in one.text for one in findings(path))


def test_clocks(path: Path) -> None:
    """A machine that never learned the date, and one whose clock was set back after messages had come."""
    unset, back = FakeClock(wall=0.0), FakeClock(wall=time.time() - _HOUR)
    assert bad(list(checks.clock({}, clock=unset))) == {"clock": Level.PROBLEM}
    put(path, time.time())
    environ = {"FMQ_QUEUE_URL": f"sqlite:///{path}"}
    assert any("in the future" in one.text for one in checks.store(environ, thorough=False, clock=back))


def test_the_command(path: Path) -> None:
    """Exit 1 on a problem, 0 on warnings alone; JSON on request; checks can be left out."""
    words = ["doctor", "--queue-url", f"sqlite:///{path}", "--skip", "broker"]
    put(path, time.time(), dead=True)
    run = CliRunner()
    result = run.invoke(fmq_command, words, standalone_mode=False)
    assert result.return_value == 0
    assert "problems: 0, warnings: 1" in result.stdout or "disk" in result.stdout
    result = run.invoke(fmq_command, [*words, "--json"], env={"FMQ_HANDLER": "x:y"}, standalone_mode=False)
    assert result.return_value == 1
    told = json.loads(result.stdout)["findings"]
    assert {"about", "level", "text", "advice"} == told[0].keys()
    assert [one["about"] for one in told if one["level"] == "problem"] == ["handler"]
    assert run.invoke(fmq_command, [*words, "--skip", "nonsense"]).exit_code == 2
