"""Standard streams that are closed, full or end early: one line, an exit code, never a traceback."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from fmq.message import Incoming
from fmq.outcome import Dead, Done
from fmq.store.backends import open_store
from support.counting import counted

_FMQ = Path(sys.executable).with_name("fmq")
_ASKING = (
    ("set-aside", "<&-"),
    ("set-aside", "<lines.json"),
    ("dead purge q --all", "</dev/null"),
    ("requeue q --done-since 1h", "</dev/null"),
    ("queue purge q", "</dev/null"),
    ("queue delete empty", "</dev/null"),
)
"""Commands that ask before they change something."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store: in q one message is dead, one done and many are pending."""
    folder = tmp_path_factory.mktemp("streams")
    with open_store(f"sqlite:///{folder}/mqtt_queue.db") as store:
        for name in ("empty", "paused", "q"):
            store.declare(name)
        store.pause("paused", "x")
        store.put([Incoming("q", "t", b"x" * 1_000, 1.0) for _ in range(200)])
        first, second = store.claim("q", 2, lease=60)
        store.settle([(first, Dead("x")), (second, Done())])
    exported = subprocess.run([_FMQ, "export", "q"], cwd=folder, capture_output=True, timeout=60, check=True)
    (folder / "lines.json").write_bytes(exported.stdout)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "store"))


def run(folder: Path, words: str, redirection: str = "", stdout: int = subprocess.PIPE) -> tuple[int, str]:
    """Exit code and standard error of ``fmq WORDS`` under a shell's redirection."""
    return _run([_FMQ, *words.split()], folder, redirection, stdout)


def _run(words: Sequence[str | Path], folder: Path, redirection: str, stdout: int) -> tuple[int, str]:
    shell: list[str | Path] = ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *words]
    with subprocess.Popen(
        shell, cwd=folder, text=True, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE
    ) as process:
        _, told = process.communicate(timeout=60)
    return process.returncode, told


@pytest.mark.parametrize(
    "words",
    ["--help", "status --watch --count 2 --interval 0.1", "peek q --json", "export q", "dead purge q --all --yes"],
)
def test_output_that_is_full(folder: Path, words: str) -> None:
    """Says so, and fails: a reader would take the output for whole. The place where it is decided is one for all commands.

    The kinds: the library's own texts, a table, lines of JSON, many of them, and a change that is reported.
    """
    full = run(folder, words, ">/dev/full")
    assert full == (1, "fmq: Standard output can't be written: No space left on device\n")


@pytest.mark.parametrize("words", ["--help", "export q"])
def test_output_that_is_closed(folder: Path, words: str) -> None:
    """The same."""
    assert run(folder, words, ">&-") == (1, "fmq: Standard output can't be written: it is closed\n")


@pytest.mark.parametrize("redirection", ["0>/dev/null", "<&-"])
def test_input_that_can_not_be_read(folder: Path, redirection: str) -> None:
    """Says so, and fails."""
    assert run(folder, "import -", redirection) == (1, "fmq: Standard input can't be read: it is closed\n")


@pytest.mark.parametrize(("words", "redirection"), _ASKING)
def test_nobody_to_ask(folder: Path, words: str, redirection: str) -> None:
    """Without a terminal a question names the flag that answers it, and nothing is changed."""
    before = counted(folder / "mqtt_queue.db")
    code, told = run(folder, words, redirection)
    assert code == 2
    assert "fmq has no terminal to ask on: add --yes to answer yes.\n" in told
    assert "Traceback" not in told
    assert counted(folder / "mqtt_queue.db") == before


@pytest.mark.parametrize(("words", "unbuffered"), [("export q", ""), ("export q", "1"), ("status", "")])
def test_a_reader_that_has_seen_enough(
    folder: Path, words: str, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe into ``head`` ends quietly."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert run(folder, words, stdout=writer) == (1, "")
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    ("words", "code", "redirection"),
    [
        ("status", 0, "2>&-"),
        ("peek nothing", 4, "2>/dev/full"),
        ("status --nonsense", 2, "2>&-"),
        ("status --queue-url x", 2, "2>/dev/full"),
    ],
)
def test_errors_that_nobody_sees(folder: Path, words: str, code: int, redirection: str) -> None:
    """The exit code is that of the error."""
    assert run(folder, words, redirection) == (code, "")


@pytest.mark.parametrize("redirection", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_place_of_a_closed_stream(folder: Path, redirection: str) -> None:
    """Otherwise what a library writes to a descriptor by its number would get into a database."""
    program = "from fmq.service import streams; streams.prepare(); import os, sys; sys.exit(os.dup(2) <= 2)"
    assert _run([sys.executable, "-c", program], folder, redirection, subprocess.PIPE) == (0, "")


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
def test_a_service_goes_on(folder: Path, redirection: str) -> None:
    """What a handler prints is lost if the output was closed at the start. A full one is the handler's failure, as ever."""
    program = (
        "from fmq.service import log, streams; streams.prepare(); log.configure(service='processor', level='INFO', style='text')\n"
        "print('x', flush=True)"
    )
    code, _ = _run([sys.executable, "-c", program], folder, redirection, subprocess.PIPE)
    assert code == (0 if redirection == ">&-" else 1)
