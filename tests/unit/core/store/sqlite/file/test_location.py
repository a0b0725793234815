"""What is refused before a database is touched."""

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fmq.errors import QueueError, SettingsError, StoreRefused
from fmq.finding import Level
from fmq.store.backends import backend_of, open_store
from fmq.store.options import StoreOptions
from fmq.store.sqlite.file import file_systems, location


@pytest.mark.parametrize("version", ["3.51.2", "3.50.6", "3.44.5", "3.45.1", "3.40.1", "3.7.0"])
def test_an_unfixed_library_is_refused(version: str) -> None:
    """A library with the WAL-reset bug is reported by name, with what to install."""
    with pytest.raises(StoreRefused, match=r"WAL-reset bug.*3\.51\.3"):
        location.require_fixed_library(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.54.1", "3.50.7", "3.44.6", "4.0.0"])
def test_a_fixed_library_is_taken(version: str) -> None:
    """The fixed release, its successors and both backports pass."""
    location.require_fixed_library(version)


def test_the_bundled_library_is_fixed() -> None:
    """The SQLite that is installed with fmq is one of those."""
    location.require_fixed_library(location.library_version())


@pytest.mark.parametrize(
    "kind",
    [
        *("nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "lustre"),
        *("9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs", "drvfs"),
        *(
            "fuse",
            "fuse.sshfs",
            "fuse.s3fs",
            "fuse.gcsfuse",
            "fuse.glusterfs",
            "fuse.ceph-fuse",
            "fuse.rclone",
            "fuse.grpcfuse",
        ),
        "fuse.whatever-comes-next",
    ],
)
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    """The reason is given, and a mount below or next to it does not matter."""
    mounts = tmp_path / "mountinfo"
    share = tmp_path / "my share"
    share.mkdir()
    escaped = str(share).replace(" ", "\\040")
    mounts.write_text(
        f"1 0 0:1 / / rw - ext4 /dev/x rw\n2 1 0:2 / {escaped} rw shared:1 - {kind} server:/x rw\n3 1 0:3 / {escaped}/sub rw - ext4 y rw\n"
    )
    with pytest.raises(StoreRefused, match=rf"network file system \({kind}\)"):
        location.require_good_place(share / "queue.db", mounts=mounts)
    assert file_systems.file_system(share / "sub", mounts=mounts) == "ext4"
    assert file_systems.file_system(tmp_path, mounts=mounts) == "ext4"


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "fuseblk", "fuse.fuse-overlayfs"])
def test_a_local_file_system_is_taken(tmp_path: Path, kind: str) -> None:
    """Disks of this machine, and the few kinds of FUSE that are."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - {kind} /dev/x rw\n")
    location.require_good_place(tmp_path / "queue.db", mounts=mounts)


def test_a_link_to_a_network_file_system_is_refused(tmp_path: Path) -> None:
    """What counts is where the file is, not where its name is."""
    share = tmp_path / "share"
    share.mkdir()
    (share / "queue.db").touch()
    (tmp_path / "queue.db").symlink_to(share / "queue.db")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - ext4 /dev/x rw\n2 1 0:2 / {share} rw - nfs4 server:/x rw\n")
    with pytest.raises(StoreRefused, match=r"network file system \(nfs4\)"):
        location.require_good_place(tmp_path / "queue.db", mounts=mounts)


def test_without_mounts_the_kernel_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc is not mounted, the number that statfs(2) gives tells the kind, and of an unknown one nothing is said."""
    nowhere = tmp_path / "none"
    location.require_good_place(tmp_path / "queue.db", mounts=nowhere)
    told = subprocess.run(["stat", "-f", "-c", "%t", tmp_path], capture_output=True, check=True, text=True).stdout
    monkeypatch.setattr(file_systems, "_MAGIC", {int(told, 16): "nfs"})
    with pytest.raises(StoreRefused, match=r"network file system \(nfs\)"):
        location.require_good_place(tmp_path / "queue.db", mounts=nowhere)


def test_places(tmp_path: Path) -> None:
    """A missing folder, and a folder where the file should be, give different errors."""
    with pytest.raises(StoreRefused, match="does not exist"):
        location.require_good_place(tmp_path / "missing" / "queue.db")
    with pytest.raises(StoreRefused, match="is a folder"):
        location.require_good_place(tmp_path)


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes are relative to the working directory, four absolute, and %-escapes are decoded."""
    monkeypatch.chdir(tmp_path)
    assert location.path_of("sqlite:///mqtt_queue.db") == tmp_path / "mqtt_queue.db"
    assert location.path_of("sqlite:////data/a%20b.db") == Path("/data/a b.db")


@pytest.mark.parametrize("url", ["sqlite://x.db", "sqlite:///", "sqlite:///folder/", "sqlite:///a.db?mode=ro", "x.db"])
def test_bad_urls(url: str) -> None:
    """An invalid URL is reported with an example of a valid one."""
    with pytest.raises(SettingsError, match="expected one like"):
        location.path_of(url)


def test_a_pipe_is_no_database(tmp_path: Path) -> None:
    """It is refused, and reading its beginning does not wait for somebody who writes to it."""
    path = tmp_path / "queue.db"
    os.mkfifo(path)
    with pytest.raises(StoreRefused, match="is not a regular file"):
        location.require_good_place(path)
    assert not location.looks_like_database(path)


def _too_long(folder: Path) -> Path:
    return folder / ("x" * 300)


def _in_a_circle(folder: Path) -> Path:
    (folder / "circle").symlink_to(folder / "circle")
    return folder / "circle" / "queue.db"


@pytest.mark.parametrize("make", [_too_long, _in_a_circle])
def test_a_path_that_leads_nowhere_is_refused_in_words(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    """By everything that begins with a look at it."""
    path = make(tmp_path)
    url = f"sqlite:///{path}"
    backend = backend_of(url)
    for act in (
        lambda: open_store(url),
        lambda: open_store(url, create=False),
        lambda: backend.back_up(url, str(tmp_path / "copy.db"), on_progress=lambda _done, _all: None),
        lambda: backend.set_aside(url),
    ):
        with pytest.raises(
            StoreRefused, match=r"can't be reached: (File name too long|Too many levels of symbolic links)"
        ):
            act()
    found = list(backend.diagnose(url, StoreOptions(), thorough=False))
    assert found[-1].level is Level.PROBLEM
    assert "can't be reached" in found[-1].text
    assert backend.same(url, url)


def test_a_folder_that_this_user_may_not_enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to look at: the user. The tests' own may enter every folder, so the system's answer is made up."""

    def closed(path: Path, **_more: object) -> object:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", closed)
    with pytest.raises(StoreRefused, match=r"by this user \(Permission denied\).*same user or group"):
        open_store(f"sqlite:///{tmp_path / 'queue.db'}", create=False)


def test_a_file_that_can_t_be_renamed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command that sets a database aside, in a folder that this user may only read."""
    path = tmp_path / "queue.db"
    path.touch()

    def closed(part: Path, _target: Path) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied", str(part))

    monkeypatch.setattr(Path, "rename", closed)
    url = f"sqlite:///{path}"
    with pytest.raises(QueueError, match=r"queue\.db can't be renamed: Permission denied"):
        backend_of(url).set_aside(url)


def test_a_path_has_no_nul_character() -> None:
    """The system takes none."""
    with pytest.raises(SettingsError, match="NUL"):
        location.path_of("sqlite:///a%00b.db")
