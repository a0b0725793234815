"""docs/operations.md is what the commands say."""

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def test_the_examples_are_what_the_commands_say() -> None:
    """Made anew, docs/operations.md differs only in figures and times."""
    program = [sys.executable, str(_ROOT / "docs" / "make_operations.py"), "--check"]
    told = subprocess.run(program, capture_output=True, text=True, check=False, timeout=100)
    assert told.returncode == 0, told.stderr
