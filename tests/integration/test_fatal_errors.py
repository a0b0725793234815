"""Why a service could not start: in the format of its logs."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

_FMQ = Path(sys.executable).with_name("fmq")


def _run(folder: Path, *words: str, environ: Mapping[str, str], stderr: int = subprocess.PIPE) -> tuple[int, str]:
    """The exit code and standard error."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FMQ_")}
    ended = subprocess.run(
        [_FMQ, *words],
        cwd=folder,
        env={**clean, "FMQ_HTTP_PORT": "0", **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stderr or ""


def test_all_invalid_settings_are_one_line_of_json(tmp_path: Path) -> None:
    """Without a terminal, as in a container: with the exit code, and a list of the problems."""
    wrong = {"FMQ_BATCH": "ten", "FMQ_SLEEP": "-1"}
    code, text = _run(tmp_path, "process", "dstdb", environ=wrong)
    (line,) = text.splitlines()
    found = json.loads(line)
    assert (code, found["exit_code"]) == (2, 2)
    assert (found["service"], found["level"]) == ("processor", "CRITICAL")
    assert [one.partition("=")[0] for one in found["problems"]] == ["FMQ_BATCH", "FMQ_SLEEP"]
    assert all(one in found["message"] for one in found["problems"])
    assert "timestamp" in found


@pytest.mark.parametrize(
    ("words", "environ", "code", "says"),
    [
        ("listen --bogus", {}, 2, "No such option '--bogus'. See `fmq listen --help`"),
        ("web", {"FMQ_LOG_FORMAT": "xml"}, 2, "FMQ_LOG_FORMAT='xml': expected auto, json or text"),
        ("process", {"FMQ_LOG_FORMAT": "json", "FMQ_QUEUE_URL": "sqlite:////nowhere/q.db"}, 3, "/nowhere"),
    ],
)
def test_other_errors(tmp_path: Path, words: str, environ: Mapping[str, str], code: int, says: str) -> None:
    """Of arguments, of the format itself, and after the start of the logs."""
    ended, text = _run(tmp_path, *words.split(), environ=environ)
    found = json.loads(text.splitlines()[-1])
    assert (ended, found["exit_code"]) == (code, code)
    assert says in found["message"]


def test_text_for_who_asks_for_text(tmp_path: Path) -> None:
    """Also by a configuration file whose other settings are wrong."""
    (tmp_path / "fmq.toml").write_text('[service]\nlog_format = "text"\nhttp_port = -1\n')
    code, text = _run(tmp_path, "listen", "dstdb", environ={"FMQ_HTTP_PORT": ""})
    assert code == 2
    assert text.startswith("fmq: Invalid settings:\n  fmq.toml:3: http_port='-1': expected a port")


def test_people_on_a_terminal_get_text(tmp_path: Path) -> None:
    """Without any setting."""
    master, slave = pty.openpty()
    code, _ = _run(tmp_path, "listen", environ={}, stderr=slave)
    os.close(slave)
    assert code == 2
    assert os.read(master, 10_000).decode().startswith("fmq: Invalid settings:")
    os.close(master)


def test_other_commands_answer_in_text(tmp_path: Path) -> None:
    """They write no logs: the one who runs them reads the answer."""
    code, text = _run(tmp_path, "status", environ={"FMQ_LOG_FORMAT": "json"})
    assert code == 3
    assert text.startswith("fmq: ")
