"""The scripts with which the chart backs up and restores a store, run with real stores."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fmq.message import Incoming
from fmq.store.backends import open_store
from k8s.charts import CHART

_POD = "fmq-0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with /data, which has a store with one message, and an empty /backup."""
    (tmp_path / "data").mkdir()
    (tmp_path / "backup").mkdir()
    _put(tmp_path, b"first")
    return tmp_path


def _url(folder: Path) -> str:
    return f"sqlite:///{folder / 'data' / 'mqtt_queue.db'}"


def _put(folder: Path, payload: bytes) -> None:
    with open_store(_url(folder)) as store:
        store.declare("q")
        store.put([Incoming("q", "t", payload, 1.0)])


def _pending(folder: Path) -> int:
    with open_store(_url(folder)) as store:
        return len(store.messages("q", range(1, 10)))


def _run(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the chart as its container does, once."""
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "FMQ_QUEUE_URL": _url(folder),
        "POD_NAME": _POD,
        "BACKUP_FOLDER": str(folder / "backup"),
        "DATA_FOLDER": str(folder / "data"),
        "EVERY_SECONDS": "3600",
        "KEEP": "2",
        "ONCE": "yes",
        **variables,
    }
    return subprocess.run(
        ["sh", CHART / "files" / f"{script}.sh"], env=environ, capture_output=True, encoding="utf-8", check=False
    )


def _backups(folder: Path) -> list[Path]:
    return sorted((folder / "backup" / _POD).glob("*.db"))


def _back_up(folder: Path) -> Path:
    done = _run("backup", folder)
    assert done.returncode == 0, done.stderr
    return _backups(folder)[-1]


def test_a_backup_is_restored_once(folder: Path) -> None:
    """The store is as it was at the backup, the replaced one is kept, and a restart of the pod restores nothing again."""
    copy = _back_up(folder)
    _put(folder, b"second")
    restore = f"{_POD}/{copy.name}"
    done = _run("restore", folder, RESTORE=restore)
    assert done.returncode == 0, done.stderr
    assert _pending(folder) == 1
    assert [one for one in (folder / "data").iterdir() if one.name.startswith("mqtt_queue.db.")]
    _put(folder, b"third")
    assert "was restored before" in _run("restore", folder, RESTORE=restore).stdout
    assert _pending(folder) == 2


def test_a_backup_can_be_restored_again(folder: Path) -> None:
    """After a start of the pod without a backup to restore, the same one is restored another time."""
    copy = _back_up(folder)
    for _ in range(2):
        _put(folder, b"more")
        assert _run("restore", folder, RESTORE=f"{_POD}/{copy.name}").returncode == 0
        assert _pending(folder) == 1
        assert _run("restore", folder, RESTORE="").returncode == 0
        assert _pending(folder) == 1


def test_a_lost_volume_is_restored(folder: Path) -> None:
    """A new and empty volume gets the backup as its store."""
    copy = _back_up(folder)
    for one in (folder / "data").iterdir():
        one.unlink()
    assert _run("restore", folder, RESTORE=f"{_POD}/{copy.name}").returncode == 0
    assert _pending(folder) == 1


def test_an_unknown_backup_stops_the_pod(folder: Path) -> None:
    """The init container fails, names the backups that there are, and the store is as before."""
    copy = _back_up(folder)
    done = _run("restore", folder, RESTORE=f"{_POD}/20200101T000000Z.db")
    assert done.returncode == 1
    assert copy.name in done.stderr
    assert _pending(folder) == 1


def test_other_pods_keep_their_stores(folder: Path) -> None:
    """A backup is restored by the pod in its name alone."""
    _back_up(folder)
    done = _run("restore", folder, RESTORE="fmq-1/20200101T000000Z.db")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_backups_are_made_when_due_and_the_newest_are_kept(folder: Path) -> None:
    """A backup of the last interval is enough, an older one is not. Beyond the number to keep, the oldest go."""
    first = _back_up(folder)
    assert _back_up(folder) == first
    for age, name in ((9, "20200101T000000Z"), (8, "20200102T000000Z")):
        first.rename(folder / "backup" / _POD / f"{name}.db")
        hours_ago = first.parent / f"{name}.db"
        os.utime(hours_ago, (hours_ago.stat().st_mtime - age * 3600,) * 2)
        _back_up(folder)
        first = _backups(folder)[-1]
    oldest, newest = _backups(folder)
    assert (oldest.name, newest) == ("20200102T000000Z.db", first)


def test_a_killed_backup_leaves_nothing(folder: Path) -> None:
    """What a killed backup has left is removed at the next start."""
    partial = folder / "backup" / _POD / ".20200101T000000Z.db.abc.partial"
    partial.parent.mkdir()
    partial.write_bytes(b"half")
    _back_up(folder)
    assert not partial.exists()
