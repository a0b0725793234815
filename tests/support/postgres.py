"""Real PostgreSQL servers, each with a port, a folder and a log of its own, run by a user without rights."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import psycopg

from support.broker import free_port

_UNPRIVILEGED = "nobody"
_OPTIONS = ("-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=16MB", "-c", "max_connections=20")


def _program(name: str) -> str:
    """Debian keeps the server's programs out of the path."""
    found = shutil.which(name)
    places = [Path(found)] if found else sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    assert places, f"{name} is missing: install PostgreSQL (Debian: apt-get install postgresql)"
    return str(places[-1])


class Postgres:
    """A PostgreSQL server with one database, ``test``, that any user of this machine may use as ``fmq``.

    Not in the test's folder: that is root's alone where the tests run as root, and this server refuses to.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fmq-postgres-"))
        self._data = self._folder / "data"
        self._as_root = os.geteuid() == 0
        self.port = free_port()
        if self._as_root:
            user = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(self._folder, user.pw_uid, user.pw_gid)
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
    def log(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = " ".join((f"-p {self.port} -k {self._folder}", *_OPTIONS))
        self._run(
            "pg_ctl",
            "start",
            "--wait",
            "--pgdata",
            str(self._data),
            "--log",
            str(self._folder / "log"),
            "--options",
            options,
        )

    def stop(self, mode: str = "fast") -> None:
        """End it: ``fast`` ends all connections in order, ``immediate`` is as good as a crash."""
        self._run("pg_ctl", "stop", "--wait", "--mode", mode, "--pgdata", str(self._data))

    def demand_password(self, user: str, password: str) -> str:
        """Make a user, or give it another password, and let nobody in as that user without it. Returns the user's URL.

        All connections of that user end.
        """
        if not self.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user]):
            rules = self._data / "pg_hba.conf"
            rules.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
            self.execute(f"CREATE ROLE {user} LOGIN SUPERUSER")
            self.execute("SELECT pg_reload_conf()")
        self.execute(f"ALTER ROLE {user} PASSWORD '{password}'")
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [user])
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/test"

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement on a connection of its own. Returns its rows, if it has any."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str) -> None:
        with (self._folder / "out").open("wb") as out:  # a file: the server would keep a pipe open
            done = subprocess.run(
                [_program(program), *arguments],
                cwd=self._folder,
                user=_UNPRIVILEGED if self._as_root else None,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=60,
                check=False,
            )
        assert done.returncode == 0, f"{program} failed:\n{(self._folder / 'out').read_text()}"

    def __enter__(self) -> Self:
        self.start()
        with psycopg.connect(f"postgresql://fmq@127.0.0.1:{self.port}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE test")
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop("immediate")
        shutil.rmtree(self._folder)
