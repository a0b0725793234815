"""The wheels that make dist has built, and what is common to the environments that they are installed in."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / "dist"
PROGRAMS = Path(sys.executable).parent
"""Of this environment: uv and pipx."""

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command in a new folder, as a user without settings; returns what it printed, both streams in one."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("FMQ_", "PYTHON", "VIRTUAL_ENV"))
    }

    def run(*words: str | Path, code: int = 0, **settings: str) -> str:
        done = subprocess.run(
            words,
            cwd=tmp_path,
            env={**environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}"
        assert "Traceback" not in done.stdout
        return done.stdout

    return run
