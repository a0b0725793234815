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
    """Sub-commands of the services that are installed stand beside the core's."""
    told = fmq(tmp_path, "--help").stdout
    for command in ("dead", "health", "listen", "process", "set-aside", "status"):
        assert f"\n  {command} " in told


@pytest.mark.parametrize(
    ("words", "environ", "code", "message"),
    [
        (["status"], {"FMQ_BUSY_SECONDS": "x", "FMQ_MMAP_BYTES": "-1"}, 2, "FMQ_MMAP_BYTES='-1'"),
        (["status"], {}, 3, "there is no database"),
        (["dead", "list", "x", "--queue-url", "redis:///x"], {}, 2, "is no queue URL"),
        (["health", "--port", "1"], {}, 1, "no answer"),
        (["nonsense"], {}, 2, "No such command"),
        (["listen", "dstdb", "a/#/b"], {}, 2, "  TOPIC='dstdb,a/#/b': "),
        (["listen"], {"FMQ_TOPICS": "a/#/b"}, 2, "  FMQ_TOPICS='a/#/b': "),
        (["process", "q", "ten"], {}, 2, "  BATCH='ten': "),
        (["process", "q", "--batch", "ten"], {}, 2, "  --batch='ten': "),
        (["process", "--handler", "nowhere:f"], {}, 2, "nowhere"),
    ],
)
def test_errors(tmp_path: Path, words: list[str], environ: dict[str, str], code: int, message: str) -> None:
    """Each kind of error has its exit code and one message on standard error."""
    result = fmq(tmp_path, *words, **environ)
    assert (result.returncode, result.stdout) == (code, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
