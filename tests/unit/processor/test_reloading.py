"""What ``--reload`` watches, and when it starts a program again."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fmq.errors import SettingsError
from fmq.service.lifecycle import Shutdown
from fmq_processor import reloading
from support.wait import wait_for

PROGRAM = """
import signal, sys, threading
from pathlib import Path
from mine import NAME
end = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: end.set())
with Path("log.txt").open("a") as out:
    print("started", NAME, file=out, flush=True)
    if NAME == "broken":
        sys.exit(2)
    if NAME == "drained":
        sys.exit(0)
    end.wait()
    print("ended", NAME, file=out)
"""


class _Running:
    """A program that is run with reloading, in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shutdown = Shutdown()
        self.code: int | None = None
        (folder / "program.txt").write_text(PROGRAM)  # not a Python file, so it is not watched
        self.name("first")
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        arguments = [sys.executable, "-c", "exec(open('program.txt').read())"]
        self.code = reloading.run_again_after_changes(arguments, self.folder, [self.folder / "fmq.toml"], self.shutdown)

    def name(self, name: str) -> None:
        """Change the module, with another size."""
        (self.folder / "mine.py").write_text(f"NAME = {name!r}\n")

    @property
    def log(self) -> list[str]:
        path = self.folder / "log.txt"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for_log(self, *lines: str) -> None:
        wait_for(lambda: self.log == list(lines), what=f"the log {lines}, not {self.log}")

    def end(self) -> int | None:
        self.shutdown.request()
        self._thread.join(30)
        return self.code

    def ended(self) -> bool:
        return not self._thread.is_alive()


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Running]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reloading, "_LOOK_SECONDS", 0.02)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    started = _Running(tmp_path)
    yield started
    started.end()
    started.shutdown.close()


def test_a_change_starts_the_program_again_after_a_graceful_end(running: _Running, tmp_path: Path) -> None:
    """Of a module, or of the file of settings; at the end, the program's exit code is the result."""
    running.wait_for_log("started first")
    running.name("second one")
    running.wait_for_log("started first", "ended first", "started second one")
    (tmp_path / "fmq.toml").write_text("[store]")
    running.wait_for_log("started first", "ended first", "started second one", "ended second one", "started second one")
    assert running.end() == 0
    assert running.log[-1] == "ended second one"


def test_a_program_that_fails_starts_again_with_the_next_change(
    running: _Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """And one that succeeds is the end, as with --drain."""
    running.wait_for_log("started first")
    running.name("broken")
    wait_for(lambda: "ended with exit code 2" in capsys.readouterr().err, what="the report")
    running.name("drained")
    wait_for(running.ended, what="the end")
    assert running.code == 0
    assert running.log[-2:] == ["started broken", "started drained"]


def test_with_drain_a_failure_is_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program ends after its work; one with wrong settings would never come to it, and nobody waits for a change."""
    monkeypatch.setattr(reloading, "_LOOK_SECONDS", 0.02)
    with closing(Shutdown()) as shutdown:
        arguments = [sys.executable, "-c", "raise SystemExit(2)"]
        assert reloading.run_again_after_changes(arguments, tmp_path, [], shutdown, ends=True) == 2


def test_only_the_users_own_files_are_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither virtual environments nor hidden folders, and never a whole disk."""
    for name in (
        "mine.py",
        "package/deep/module.py",
        ".git/hook.py",
        "venv/lib/other.py",
        "data.txt",
        "venv/pyvenv.cfg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert {path.name for path in reloading._snapshot(tmp_path, [])} == {"mine.py", "module.py"}
    monkeypatch.setattr(reloading, "_MOST_FILES", 1)
    with pytest.raises(SettingsError, match="has more than 1: start fmq in the folder of your handler"):
        reloading._snapshot(tmp_path, [])


def test_a_deleted_and_a_touched_file_are_changes(tmp_path: Path) -> None:
    """The name of the first is reported."""
    path = tmp_path / "mine.py"
    path.write_text("x = 1")
    before = reloading._snapshot(tmp_path, [])
    assert reloading._difference(before, before) == ""
    os.utime(path, (1, 1))
    assert reloading._difference(before, reloading._snapshot(tmp_path, [])) == "mine.py"
    path.unlink()
    assert reloading._difference(before, reloading._snapshot(tmp_path, [])) == "mine.py"
