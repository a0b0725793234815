"""Real PostgreSQL servers, each with a port, a folder and a log of its own, run by a user without rights."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

import psycopg

from support.broker import free_port
from support.wait import wait_for

_UNPRIVILEGED = "nobody"
_SETTINGS = ("listen_addresses=127.0.0.1", "shared_buffers=16MB", "max_connections=40")
_CHEAP_SETTINGS = ("fsync=off", "full_page_writes=off", "autovacuum=off", "shared_buffers=64MB")
"""For servers whose power is not cut: half the time."""


def program(name: str) -> str:
    """Debian keeps the server's programs out of the path."""
    found = shutil.which(name)
    places = [Path(found)] if found else sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    assert places, (
        f"{name} is missing: install PostgreSQL (Debian: apt-get install postgresql)."
        " Only tests with the marker postgres may need it"
    )
    return str(places[-1])


class Postgres:
    """A PostgreSQL server with one database, ``test``, that any user of this machine may use as ``fmq``.

    Not in the test's folder: that is root's alone where the tests run as root, and this server refuses to.
    """

    def __init__(self, *settings: str, parent: Path | None = None) -> None:
        """``settings`` of the server, such as ``fsync=off``. Its folder is made in ``parent``."""
        assert os.environ.get("FMQ_TEST_POSTGRES") != "none", "a test that needs a server has the marker postgres"
        self._settings = (*_SETTINGS, *settings)
        self._folder = Path(tempfile.mkdtemp(prefix="fmq-postgres-", dir=parent))
        self._data = self._folder / "data"
        self._as_root = os.geteuid() == 0
        self.port = free_port()
        self._kept: psycopg.Connection[tuple[Any, ...]] | None = None
        if self._as_root:
            user = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        self._create()

    def _create(self) -> None:
        """Fill the folder of the data."""
        self._run(
            "initdb",
            "--auth=trust",
            "--username=fmq",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--pgdata",
            str(self._data),
        )

    @property
    def url(self) -> str:
        return f"postgresql://fmq@127.0.0.1:{self.port}/test"

    @property
    def pid(self) -> int:
        """Of the process that started all others of the server."""
        return int((self._data / "postmaster.pid").read_text(encoding="ascii").split()[0])

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._run("pg_ctl", "status", "--pgdata", str(self._data), expected=(0, 3)) == 0

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self._start("--wait")

    def _start(self, how: str) -> None:
        options = " ".join((f"-p {self.port} -k {self._folder}", *(f"-c {one}" for one in self._settings)))
        self._run(
            "pg_ctl",
            "start",
            how,
            "--pgdata",
            str(self._data),
            "--log",
            str(self._folder / "log"),
            "--options",
            options,
        )

    @contextmanager
    def starting_up(self) -> Iterator[None]:
        """While the server is busy with its recovery, and lets nobody in. It must not run."""
        (self._data / "recovery.signal").touch()
        self._settings, kept = (*self._settings, "restore_command='sleep 1000'"), self._settings
        self._start("--no-wait")
        try:
            wait_for(self._takes_connections, what="the server to listen")
            yield
        finally:
            self._settings = kept
            self.stop("immediate")
            (self._data / "recovery.signal").unlink()

    def _takes_connections(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, mode: str = "fast") -> None:
        """End it: ``fast`` ends all connections in order, ``immediate`` is as good as a crash."""
        self._run("pg_ctl", "stop", "--wait", "--mode", mode, "--pgdata", str(self._data))

    def restart(self) -> None:
        """Crash it and start it again: it recovers from its log, and all connections have ended."""
        self.stop("immediate")
        self.start()

    def demand_password(self, user: str, password: str) -> str:
        """Make a user, or give it another password, and let nobody in as that user without it. Returns the user's URL.

        All connections of that user end.
        """
        if not self.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user]):
            rules = self._data / "pg_hba.conf"
            rules.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
            self.execute(f"CREATE ROLE {user} LOGIN SUPERUSER")
            loaded = "SELECT pg_conf_load_time()"
            before = self.execute(loaded)
            self.execute("SELECT pg_reload_conf()")  # which only sends a signal
            wait_for(lambda: self.execute(loaded) != before, what="new connections to follow the new rules")
        self.execute(f"ALTER ROLE {user} PASSWORD '{password}'")
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [user])
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/test"

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of its own. Returns its rows, if it has any."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def ask(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The same, on a connection that is kept: a new one takes longer than a question."""
        if self._kept is None or self._kept.closed:
            self._kept = psycopg.connect(self.url, autocommit=True)
        cursor = self._kept.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def _run(self, name: str, *arguments: str, expected: Sequence[int] = (0,)) -> int:
        """Run a program of the server. Returns its exit code."""
        with (self._folder / "out").open("wb") as out:  # a file: the server would keep a pipe open
            done = subprocess.run(
                [program(name), *arguments],
                cwd=self._folder,
                user=_UNPRIVILEGED if self._as_root else None,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=60,
                check=False,
            )
        assert done.returncode in expected, f"{name} failed:\n{(self._folder / 'out').read_text()}"
        return done.returncode

    def __enter__(self) -> Self:
        self.start()
        with psycopg.connect(f"postgresql://fmq@127.0.0.1:{self.port}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE test")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._kept:
            self._kept.close()
        self.stop("immediate")
        wait_for(self._is_removed, what="the server's processes to leave its folder")

    def _is_removed(self) -> bool:
        """The last of them may still write a file when the server counts as stopped."""
        shutil.rmtree(self._folder, ignore_errors=True)
        return not self._folder.exists()


_running = ExitStack()


@cache
def shared_server() -> Postgres:
    """One server for all tests of this process, which use a schema of their own each. See stop_shared_server."""
    return _running.enter_context(Postgres(*_CHEAP_SETTINGS))


def stop_shared_server() -> None:
    """End the shared server, if a test has started it."""
    _running.close()
