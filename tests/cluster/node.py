"""One PostgreSQL server of a cluster, on a host of its own, run by a user without rights."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg

from cluster.network import Host
from cluster.processes import USER, family, kill_all
from support.postgres import program
from support.wait import wait_for

_SETTINGS = """
listen_addresses = '*'
max_connections = 60
shared_buffers = 64MB
wal_keep_size = 2GB
wal_log_hints = on
wal_receiver_timeout = 5s
wal_sender_timeout = 5s
wal_retrieve_retry_interval = 200ms
synchronous_standby_names = 'ANY 1 (a, b, c)'
"""
_ACCESS = "local all all trust\nhost all all all trust\nhost replication all all trust\n"


class Node:
    """A server in ``folder`` on ``host``. It is a standby once it has followed another."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.name = host.name
        self._folder = folder / host.name
        self.data = self._folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._folder.mkdir(parents=True)
        os.chown(self._folder, USER, USER)

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def conninfo(self, database: str = "postgres") -> str:
        return f"host={self.host.address} user=fmq dbname={database} connect_timeout=2"

    def ask(self, statement: str, *values: object, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement on a connection of its own, whatever the server's role. Returns its rows."""
        with psycopg.connect(self.conninfo(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def initialize(self) -> None:
        """Make a new database cluster in it."""
        self._run(
            "initdb", "--auth=trust", "--username=fmq", "--encoding=UTF8", "--locale=C", "--no-sync", str(self.data)
        )
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS)
        (self.data / "pg_hba.conf").write_text(_ACCESS)

    def copy(self, source: "Node") -> None:
        """Replace all that is in it by a base backup of ``source``."""
        shutil.rmtree(self.data, ignore_errors=True)
        where = f"host={source.host.address} user=fmq"
        self._run("pg_basebackup", "--checkpoint=fast", "--no-sync", "--pgdata", str(self.data), "--dbname", where)

    def rewind(self, source: "Node") -> bool:
        """Undo what ``source`` has not got, so that it can follow. Returns whether it can be."""
        source.ask("CHECKPOINT")  # the new timeline must be in its control file
        try:
            self._run("pg_rewind", "--no-sync", f"--target-pgdata={self.data}", f"--source-server={source.conninfo()}")
        except AssertionError:
            return False
        return True

    def follow(self, source: "Node") -> None:
        """Be a standby of ``source``, at once if it runs."""
        (self.data / "standby.signal").touch()
        (self.data / "postgresql.auto.conf").write_text(
            f"primary_conninfo = '{source.conninfo()} application_name={self.name}'\n"
        )
        if self.running:
            self.ask("SELECT pg_reload_conf()")

    def follow_nobody(self) -> None:
        """Remain a standby, and receive nothing more."""
        (self.data / "postgresql.auto.conf").write_text("")
        self.ask("SELECT pg_reload_conf()")
        wait_for(lambda: not self.receives(), what=f"{self.name} to stop receiving")

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it takes connections."""
        command = [
            program("postgres"),
            "-D",
            str(self.data),
            "-k",
            str(self._folder),
            "-c",
            f"cluster_name={self.name}",
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.host.command(*command, user=USER),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        if wait:
            wait_for(self.answers, 60, what=f"{self.name} to take connections")

    def answers(self) -> bool:
        assert self.running, f"{self.name} ended:\n{self.log[-4_000:]}"
        try:
            return bool(self.ask("SELECT 1"))
        except psycopg.OperationalError:
            return False

    def promote(self) -> None:
        """Make it the primary, and wait until it is."""
        assert self.ask("SELECT pg_promote(true, 30)") == [(True,)]

    def streaming(self) -> set[str]:
        """The standbys that receive what it commits."""
        return {
            name for (name,) in self.ask("SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'")
        }

    def received(self) -> int:
        """How much of the log a standby has on its disk."""
        return int(self.ask("SELECT pg_last_wal_receive_lsn() - '0/0'")[0][0])

    def receives(self) -> bool:
        """Whether it is connected to a primary."""
        return bool(self.ask("SELECT 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'"))

    def kill(self) -> None:
        """End all its processes at once (SIGKILL)."""
        assert self._process is not None
        children = family(self._process.pid)
        self._process.kill()
        kill_all(children)
        self._process.wait(30)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """SIGQUIT is an immediate stop, as good as a crash; SIGINT ends all connections in order first."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(60)

    def end(self) -> None:
        """End it, if it runs."""
        if self.running:
            self.kill()

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            self.host.command(program(name), *arguments, user=USER),
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{name} failed:\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}"


Strike = Callable[[Node], None]
"""What ends a primary."""


def killed(node: Node) -> None:
    """SIGKILL."""
    node.kill()


def stopped(node: Node) -> None:
    """An immediate stop."""
    node.stop()


def cut_off(node: Node) -> None:
    """Its network is gone, and no connection is closed."""
    node.host.cut_off()


STRIKES: Sequence[Strike] = (killed, stopped)
