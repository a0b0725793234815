"""What must be right before a database is opened: the library, the place and the file."""

import os
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

import apsw

from fmq.errors import SettingsError, StoreRefused, StoreUnavailable
from fmq.store.sqlite.file.file_systems import MOUNTS, file_system, is_shared
from fmq.store.sqlite.schema.recognition import recognize

_MAGIC = b"SQLite format 3\0"


def require_fixed_library(version: str) -> None:
    """Refuse an SQLite with the WAL-reset bug, by which two connections that write or checkpoint at once can corrupt the file.

    Fixed in 3.51.3 and in the backports 3.50.7 and 3.44.6 (sqlite.org, "Write-Ahead Logging", section 11).
    """
    number = tuple(int(part) for part in version.split(".")[:3])
    branch = number[:2]
    fixed = (
        number >= (3, 51, 3)
        or (branch == (3, 50) and number >= (3, 50, 7))
        or (branch == (3, 44) and number >= (3, 44, 6))
    )
    if not fixed and number >= (3, 7, 0):
        raise StoreRefused(
            f"SQLite {version} has the WAL-reset bug, which can corrupt a database that several processes write; "
            "install an apsw with SQLite 3.51.3 or later (3.50.7 and 3.44.6 are fixed too)"
        )


def path_of(url: str) -> Path:
    """The file that a ``sqlite:///`` URL names. Raises SettingsError, and StoreRefused without a working directory."""
    rest = url.removeprefix("sqlite:///")
    if rest == url or not rest or rest.endswith("/") or "?" in rest or "#" in rest:
        raise SettingsError(
            f"Invalid queue URL {url!r}: expected one like sqlite:///mqtt_queue.db or sqlite:////data/mqtt_queue.db"
        )
    if "\0" in unquote(rest):
        raise SettingsError(f"Invalid queue URL {url!r}: a path can't have a NUL character")
    if unquote(rest) == ":memory:":
        raise SettingsError(
            f"Invalid queue URL {url!r}: a database in memory is lost with its process; expected the path of a file"
        )
    try:
        return Path(unquote(rest)).absolute()
    except FileNotFoundError:
        raise StoreRefused(
            f"{url!r} is relative to the working directory, which does not exist any more: change to another directory"
        ) from None


def is_there(path: Path) -> bool:
    """Whether there is a file or folder. Raises StoreRefused if that can't be seen, for example for want of rights."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError as error:
        raise StoreRefused(
            f"{path} can't be reached by this user ({error.strerror}): every program that shares a database needs the same user or group"
        ) from error
    except OSError as error:
        raise StoreRefused(f"{path} can't be reached: {error.strerror}") from error
    return True


def is_ours(path: Path) -> bool:
    """Whether the file is an fmq store. Raises StoreUnavailable if it can't be read."""
    # Not by a look at its first bytes: what is new may stand in the -wal file only.
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            return recognize(connection).is_store
    except apsw.NotADBError:
        return False
    except apsw.Error as error:
        raise StoreUnavailable(f"{path}: {error}") from error


def looks_like_database(path: Path) -> bool:
    """Whether the file begins as every SQLite database does. Opens it for reading only; False if it can't be read."""
    try:
        if not path.is_file():  # a pipe's reader waits for its writer
            return False
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def require_good_place(path: Path, *, mounts: Path = MOUNTS) -> None:
    """Refuse a folder that is missing, read-only or on a network or shared file system, whose locks SQLite can't rely on."""
    folder = path.parent
    there = is_there(path)
    if not folder.is_dir():
        raise StoreRefused(f"the folder {folder} of the database does not exist: make it, or mount the volume there")
    if path.is_dir():
        raise StoreRefused(f"{path} is a folder: the database would be a file in it, such as {path / 'mqtt_queue.db'}")
    if there and not path.is_file():
        raise StoreRefused(f"{path} is not a regular file, and a database can be nothing else")
    kind = file_system(path.resolve().parent, mounts=mounts)  # the file may be a link to another folder
    if is_shared(kind):
        raise StoreRefused(
            f"{folder} is on a network file system ({kind}), where SQLite's locks and shared memory don't work and "
            "messages would be lost: put the database on a local or block volume"
        )
    # Not os.access() alone: root passes it even where the file system is mounted read-only.
    if os.statvfs(folder).f_flag & os.ST_RDONLY or not os.access(folder, os.W_OK | os.X_OK):
        raise StoreRefused(f"the folder {folder} can't be written: SQLite needs to create files next to the database")
    if there and not os.access(path, os.R_OK | os.W_OK):
        raise StoreRefused(
            f"{path} can't be written by this user: every service that shares it needs the same user or group"
        )


def library_version() -> str:
    """The version of the SQLite that apsw bundles."""
    return apsw.sqlite_lib_version()


def make_private_file(path: Path) -> None:
    """Create the file before SQLite does, unreadable for other users. SQLite gives its -wal and -shm the same mode."""
    if path.exists():
        return
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o660))
    except FileExistsError:
        pass  # another process was faster
    except OSError as error:
        raise StoreRefused(f"{path} can't be created: {error.strerror}") from error
