"""Which files `fmq process --reload` watches."""

import os
from pathlib import Path

from fmq_processor.reloading import versions


def test_a_change_of_python_files_and_the_config_shows(tmp_path: Path) -> None:
    """Also of the same length and with an older time, as when an editor replaces a file or a version is restored."""
    folder, config = tmp_path / "project", tmp_path / "fmq.toml"
    (folder / "package").mkdir(parents=True)
    module = folder / "package" / "module.py"
    module.write_text("1")
    before = versions(folder, config)
    assert set(before) == {module}
    module.with_suffix(".new").write_text("2")
    os.utime(module.with_suffix(".new"), ns=(before[module][0],) * 2)
    module.with_suffix(".new").rename(module)
    config.write_text("")
    assert {path for path, _ in versions(folder, config).items() ^ before.items()} == {module, config}
    module.unlink()
    assert set(versions(folder, config)) == {config}


def test_environments_and_hidden_folders_are_left_out(tmp_path: Path) -> None:
    """They have thousands of files, none of which a user edits."""
    for name in (
        ".git/hook.py",
        "env/pyvenv.cfg",
        "env/lib/site.py",
        "node_modules/a.py",
        "__pycache__/b.py",
        "notes.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert versions(tmp_path, tmp_path / "fmq.toml") == {}
    assert versions(tmp_path / "missing", tmp_path / "fmq.toml") == {}
