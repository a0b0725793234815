"""`fmq init`: what it writes, and what it leaves alone."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fmq.cli.main import fmq_command
from fmq.errors import FmqError, SettingsError


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def init(*arguments: str) -> Result:
    return CliRunner().invoke(fmq_command, ["init", *arguments])


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_project_is_named_after_its_folder(tmp_path: Path) -> None:
    """As Python can import it, and the same name stands in every file."""
    result = init("My-Plant 7")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "My-Plant 7"
    assert _files(folder) == {
        *(".dockerignore", ".gitignore", "Dockerfile", "README.md", "compose.override.yaml"),
        *("fmq.toml", "pyproject.toml", "requirements.txt", "tests/test_handlers.py"),
        *("my_plant_7/__init__.py", "my_plant_7/handlers.py"),
    }
    assert 'handler = "my_plant_7.handlers:handle"' in (folder / "fmq.toml").read_text()
    assert 'name = "my-plant-7"' in (folder / "pyproject.toml").read_text()
    assert not [name for name in _files(folder) if re.search("@[a-z]+@", (folder / name).read_text())]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """If one file is in the way, nothing is written, and all that are in the way are named. Other files don't matter."""
    folder = tmp_path / "plant"
    (folder / "plant").mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    (folder / "fmq.toml").write_text("mine")
    (folder / "tests").write_text("not a folder")
    (folder / "Dockerfile").symlink_to("nowhere")
    result = init("plant")
    assert isinstance(result.exception, SettingsError)
    told = str(result.exception).splitlines()
    assert told[0] == "These files exist already, and fmq init overwrites nothing:"
    assert [line.strip() for line in told[1:]] == ["plant/Dockerfile", "plant/fmq.toml", "plant/tests"]
    assert _files(folder) == {"fmq.toml", "notes.txt", "tests"}
    assert (folder / "fmq.toml").read_text() == "mine"


def test_a_folder_that_has_other_files_is_fine(tmp_path: Path) -> None:
    """Such as a new repository."""
    (tmp_path / "plant" / ".git").mkdir(parents=True)
    assert init("plant").exit_code == 0


@pytest.mark.parametrize(
    "name", ["7", "...", "пример", "class", "queue", "fmq", "fmq-web", "tests", "pydantic", "click"]
)
def test_a_name_that_python_could_not_import_is_refused(name: str, tmp_path: Path) -> None:
    """Or under which it would import something else. --name gives another one."""
    result = init(name)
    assert isinstance(result.exception, SettingsError)
    assert "--name" in str(result.exception)
    assert not list(tmp_path.iterdir())
    assert init(name, "--name", "plant").exit_code == 0


def test_a_name_with_accents(tmp_path: Path) -> None:
    """Loses them."""
    assert init("Müller").exit_code == 0
    assert (tmp_path / "Müller" / "muller" / "handlers.py").exists()


def test_a_folder_that_can_not_be_written_is_reported() -> None:
    """In words."""
    result = init("/proc/plant")
    assert isinstance(result.exception, FmqError)
    assert str(result.exception).startswith("Can't write the project to /proc/plant: ")
