"""Servers that Patroni runs and etcd elects, with the settings of deploy/postgres/patroni.yaml."""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from cluster.network import HUB, Host
from cluster.processes import USER, family, kill_all
from support.postgres import program
from support.wait import wait_for

_SETTINGS = Path(__file__).resolve().parents[2] / "deploy" / "postgres" / "patroni.yaml"
_ETCD = f"http://{HUB}:2379"
# What differs here: no passwords, and a database that needs no other file.
_OWN = """
bootstrap:
  post_bootstrap: psql --quiet --command 'CREATE ROLE fmq LOGIN IN ROLE pg_monitor' --command 'CREATE DATABASE fmq OWNER fmq'
postgresql:
  authentication:
    superuser: {username: postgres}
    replication: {username: replicator}
  parameters: {unix_socket_directories: ''}
  pg_hba: [host all all all trust, host replication all all trust]
"""


class Member:
    """Patroni on one host, and the server that it runs."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self._folder = folder / host.name
        self._process: subprocess.Popen[bytes] | None = None
        settings = self._folder / "settings"
        settings.mkdir(parents=True)
        shutil.copy(_SETTINGS, settings / "10-cluster.yaml")
        (settings / "20-own.yaml").write_text(_OWN)
        os.chown(self._folder, USER, USER)

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        here = self.host.address
        environ = {
            "PATH": os.environ["PATH"],
            "PATRONI_NAME": self.host.name,
            "PATRONI_ETCD3_HOSTS": f"{HUB}:2379",
            "PATRONI_RESTAPI_LISTEN": "0.0.0.0:8008",
            "PATRONI_RESTAPI_CONNECT_ADDRESS": f"{here}:8008",
            "PATRONI_POSTGRESQL_LISTEN": "0.0.0.0:5432",
            "PATRONI_POSTGRESQL_CONNECT_ADDRESS": f"{here}:5432",
            "PATRONI_POSTGRESQL_DATA_DIR": str(self._folder / "data"),
            "PATRONI_POSTGRESQL_BIN_DIR": str(Path(program("postgres")).resolve().parent),
            "PATRONI_POSTGRESQL_PGPASS": str(self._folder / "pgpass"),
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.host.command("patroni", str(self._folder / "settings"), user=USER),
                env=environ,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """End Patroni and all of PostgreSQL at once (SIGKILL)."""
        server: list[int] = []
        with suppress(OSError):
            postmaster = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
            server = [postmaster, *family(postmaster)]
        assert self._process is not None
        self._process.kill()
        kill_all(server)
        self._process.wait(30)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def ask(self, path: str, body: Mapping[str, object] | None = None, *, seconds: float = 2) -> Any:  # noqa: ANN401 - JSON
        """What its REST API answers, as JSON or text; None if it does not. With a ``body`` it is a POST."""
        request = urllib.request.Request(
            f"http://{self.host.address}:8008/{path}", None if body is None else json.dumps(body).encode()
        )
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                text = answer.read().decode()
        except (OSError, urllib.error.URLError):
            return None
        return json.loads(text) if text.startswith(("{", "[")) else text


class PatroniCluster:
    """Members and an etcd."""

    def __init__(self, hosts: Sequence[Host], folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._etcd: subprocess.Popen[bytes] | None = None
        self.members = {host.name: Member(host, folder) for host in hosts}

    @property
    def url(self) -> str:
        hosts = ",".join(one.host.address for one in self.members.values())
        return f"postgresql://fmq@{hosts}/fmq?connect_timeout=2"

    def roles(self) -> Mapping[str, str]:
        """The role of each member whose server runs, as far as Patroni knows: leader, sync_standby or replica."""
        for member in self.members.values():
            if found := member.ask("cluster"):
                return {
                    one["name"]: one["role"] for one in found["members"] if one["state"] in ("running", "streaming")
                }
        return {}

    def member(self, role: str) -> Member | None:
        """The member with a role; None if there is none at the moment."""
        return next((self.members[name] for name, one in self.roles().items() if one == role), None)

    def await_leader(self, member: Member) -> None:
        """Wait until ``member``, and no other, is the leader."""
        wait_for(lambda: self.member("leader") is member, 90, what=f"{member.host.name} to be the leader")

    def await_whole(self) -> tuple[Member, Member]:
        """Wait until there are a leader, a synchronous standby and the others. Returns the first two."""

        def found() -> tuple[Member, Member] | None:
            roles = self.roles()
            leader, standby = self.member("leader"), self.member("sync_standby")
            return (leader, standby) if len(roles) == len(self.members) and leader and standby else None

        pair = wait_for(found, 120, what="a leader and two standbys")
        assert pair is not None
        return pair

    def __enter__(self) -> Self:
        with (self._folder / "etcd.log").open("wb") as log:
            self._etcd = subprocess.Popen(
                [
                    "etcd",
                    f"--data-dir={self._folder / 'etcd'}",
                    f"--listen-client-urls={_ETCD}",
                    f"--advertise-client-urls={_ETCD}",
                    "--listen-peer-urls=http://127.0.0.1:2380",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        for member in self.members.values():
            member.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is not None:
            for name, member in self.members.items():
                print(f"--- {name}\n{member.log[-6_000:]}")  # noqa: T201 - pytest shows it with the failure
        for member in self.members.values():
            member.end()
        if self._etcd is not None:
            self._etcd.kill()
            self._etcd.wait(30)
