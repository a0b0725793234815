"""Where things are, and the programs that the tests run."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

Manifest = dict[str, Any]


def program(name: str) -> str:
    """The path of a tool. Fails if it is missing: nothing here is ever skipped."""
    for folder in (Path(sys.executable).parent, ROOT / ".venv-k8s" / "bin"):
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: `make test-k8s` installs it (requirements/k8s.txt, helm.txt)", pytrace=False)
    return found
