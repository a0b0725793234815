"""The program `fmq`: exit codes and messages, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def fmq(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("fmq")
    return subprocess.run(
        [program, *words],
        cwd=folder,
        env={**os.environ, **environ},
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_help_lists_the_services(tmp_path: Path) -> None:
    """Sub-commands of the services that are installed stand next to the core's."""
    told = fmq(tmp_path, "--help").stdout
    for command in ("dead", "health", "listen", "process", "set-aside", "status"):
        assert f"\n  {command} " in told


@pytest.mark.parametrize(
    ("words", "environ", "code", "message"),
    [
        (["status"], {"FMQ_BUSY_SECONDS": "x", "FMQ_MMAP_BYTES": "-1"}, 2, "FMQ_MMAP_BYTES='-1'"),
        (["status"], {}, 3, "does not exist"),
        (["health", "--port", "1"], {}, 1, "no answer"),
        (["nonsense"], {}, 2, "No such command"),
        (["listen", "dstdb", "a/#/b"], {}, 2, "TOPIC='dstdb,a/#/b': "),
    ],
)
def test_errors(tmp_path: Path, words: list[str], environ: dict[str, str], code: int, message: str) -> None:
    """Each kind of error has its exit code and one message on standard error."""
    result = fmq(tmp_path, *words, **environ)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("words", [["status"], ["doctor", "--skip", "broker"], ["process"]])
def test_a_working_directory_that_is_gone(tmp_path: Path, words: list[str]) -> None:
    """As after a deployment that removes the old folder: an error that says so."""
    folder = tmp_path / "gone"
    folder.mkdir()
    program = Path(sys.executable).with_name("fmq")
    result = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", program, *words],
        cwd=folder,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    told = result.stdout + result.stderr
    assert "working directory" in told
    assert "Traceback" not in told
    assert result.returncode == {"doctor": 1, "process": 2}.get(words[0], 3)


@pytest.mark.parametrize("words", [["doctor", "--skip"], ["import"]])
def test_what_a_terminal_acts_on_is_escaped_in_an_error_of_usage(tmp_path: Path, words: list[str]) -> None:
    """Also where the message is click's: arguments may come from a script that took them from elsewhere."""
    told = fmq(tmp_path, *words, "a\u202e\x1b]0;x\a").stderr
    assert "\\u202e\\x1b]0;x\\x07" in told
