"""Looking at a database and its place without changing either, for `fmq doctor`."""

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw

from fmq.errors import StoreRefused
from fmq.finding import Finding, ok, problem, warning
from fmq.store.recognition import Kind
from fmq.store.sqlite.file import location
from fmq.store.sqlite.file.file_systems import file_system
from fmq.store.sqlite.schema.migrations import LATEST_VERSION
from fmq.store.sqlite.schema.recognition import recognize

MIB = 1024 * 1024
_CHECKED_BYTES = 256 * MIB
_WAL_MUCH_BYTES = 256 * MIB
_WAL_TOO_MUCH_BYTES = 1024 * MIB
_DISK_LITTLE_BYTES = 5 * 1024 * MIB
_DISK_TOO_LITTLE_BYTES = 512 * MIB
_PASSING = {
    "overlay": "the container's own layer, and goes with the container",
    "ramfs": "memory, and goes with a restart of the machine",
    "tmpfs": "memory, and goes with a restart of the machine",
}
_OTHERS = 0o007


def diagnose_file(path: Path, *, thorough: bool) -> Iterator[Finding]:
    """See fmq.store.backends.Backend.diagnose."""
    version = location.library_version()
    try:
        location.require_fixed_library(version)
    except StoreRefused as error:
        yield problem("sqlite", str(error), "Install fmq's locked requirements anew.")
    else:
        yield ok("sqlite", f"version {version}, of apsw {apsw.apsw_version()}; has the fix of the WAL-reset bug")
    try:
        location.require_good_place(path)
    except StoreRefused as error:
        yield problem("folder", str(error), "The message says what; FMQ_QUEUE_URL names the database.")
        return
    yield _folder(path)
    yield _disk(path)
    if not path.exists():
        yield warning(
            "database",
            f"{path} does not exist yet",
            "The listener makes it at its first start. Is FMQ_QUEUE_URL right?",
        )
        return
    yield from _files(path)
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as sql:
            sql.set_busy_timeout(1_000)
            yield from _database(path, sql, thorough=thorough)
    except (apsw.CorruptError, apsw.NotADBError) as error:
        yield _damaged(f"{path}: {error}")
    except apsw.Error as error:
        yield problem(
            "database",
            f"{path} can't be read: {error}",
            "Look at its disk and its permissions; is another program holding it?",
        )


def _folder(path: Path) -> Finding:
    kind = file_system(path.resolve().parent) or "unknown"
    if kind in _PASSING:
        return warning(
            "folder", f"{path.parent} is on {kind}: {_PASSING[kind]}", "Put the database on a volume or a local disk."
        )
    return ok("folder", f"{path.parent} can be written; its file system is {kind}")


def _disk(path: Path) -> Finding:
    disk = os.statvfs(path.parent)
    free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    text = f"{free // MIB:,} MiB of {size // MIB:,} MiB are free"
    if free < _DISK_TOO_LITTLE_BYTES:
        return problem(
            "disk", text, "Make room: when it is full, intake stops and the broker has to keep the messages."
        )
    if free < min(_DISK_LITTLE_BYTES, size // 10):
        return warning("disk", text, "Make room, or lower FMQ_RETENTION_SECONDS in the listener.")
    return ok("disk", text)


def _files(path: Path) -> Iterator[Finding]:
    """Owner and permissions of the database and of the files that SQLite keeps next to it."""
    beside = [path.with_name(path.name + ending) for ending in ("-wal", "-shm")]
    there = [path, *(one for one in beside if one.exists())]
    closed = [one.name for one in there if not os.access(one, os.R_OK | os.W_OK)]
    owners = {one.stat().st_uid for one in there}
    mode = path.stat().st_mode
    owner = _owner(path)
    text = f"{', '.join(one.name for one in there)}: owner {owner}, mode {stat.S_IMODE(mode):o}"
    if closed:
        advice = "Give all of them to the services' user or group: a command run by another user has made them."
        yield problem("files", f"{', '.join(closed)} can't be written by this user ({text})", advice)
    elif len(owners) > 1:
        yield warning("files", f"{text}, but not all belong to the same user", f"chown them all to {owner}.")
    elif mode & _OTHERS:
        yield warning("files", f"{text}: every user of this machine can read the messages", f"chmod o= {path}*")
    else:
        yield ok("files", text)


def _owner(path: Path) -> str:
    """The owner's name, or the number of one without a name, as in a container."""
    try:
        return path.owner()
    except KeyError:
        return str(path.stat().st_uid)


def _database(path: Path, sql: apsw.Connection, *, thorough: bool) -> Iterator[Finding]:
    found = recognize(sql)
    if why := found.refusal(str(path)):
        yield problem("database", why, "Correct FMQ_QUEUE_URL if it names the wrong file.")
        return
    mode = str(sql.pragma("journal_mode"))
    size = path.stat().st_size
    text = (
        f"{path}: schema {found.version}, {size / MIB:,.1f} MiB, pages of {sql.pragma('page_size')} bytes, "
        f"{sql.pragma('freelist_count'):,} of {sql.pragma('page_count'):,} are free"
    )
    if found.kind is not Kind.CURRENT:
        yield warning(
            "database",
            text,
            f"The next start of a service migrates it to schema {LATEST_VERSION}. Make a backup first.",
        )
    else:
        yield ok("database", text)
    if mode == "wal":
        yield _log_size(path)
    else:
        yield warning(
            "write-ahead log",
            f"off (journal mode {mode})",
            "A service puts it on at its start: has one run on this file?",
        )
    if size > _CHECKED_BYTES and not thorough:
        yield ok(
            "integrity",
            f"not looked at above {_CHECKED_BYTES // MIB} MiB; `fmq doctor --thorough` does, and takes its time",
        )
        return
    damage = [str(row[0]) for row in sql.execute(f"PRAGMA {'integrity_check' if thorough else 'quick_check'}(3)")]
    yield ok("integrity", "no damage found") if damage == ["ok"] else _damaged(" ".join(" ".join(damage).split()))


def _log_size(path: Path) -> Finding:
    wal = path.with_name(path.name + "-wal")
    size = wal.stat().st_size if wal.exists() else 0
    text = f"on, {size / MIB:,.1f} MiB"
    advice = f"A reader stays open and keeps it from being emptied: see who has the file open (fuser -v {path})."
    if size > _WAL_TOO_MUCH_BYTES:
        return problem("write-ahead log", text, advice)
    return warning("write-ahead log", text, advice) if size > _WAL_MUCH_BYTES else ok("write-ahead log", text)


def _damaged(what: str) -> Finding:
    return problem(
        "integrity",
        f"damaged: {what}",
        "Stop all services. Restore a backup, or keep the file with `fmq set-aside` and begin a new one.",
    )
