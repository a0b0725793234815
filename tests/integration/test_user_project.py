"""A user's project runs its tests with the fixtures of fmq."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "user_project"


def test_a_users_project_passes_its_tests(tmp_path: Path) -> None:
    """Pytest finds the plugin by its entry point, and nothing else has to be configured. The project is checked by `make check`."""
    folder = shutil.copytree(PROJECT, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__"))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "FMQ_", "COV_"))}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist"],
        cwd=folder,
        env={**environ, "PYDANTIC_DISABLE_PLUGINS": "__all__"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "5 passed" in ended.stdout


def test_the_plugin_is_light() -> None:
    """Tests of other projects in the same environment pay for no more than a few small modules."""
    code = "import sys, fmq.pytest_plugin; print([one for one in ('pydantic', 'apsw', 'click', 'fmq.testing') if one in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
