"""A streaming standby of a test's PostgreSQL server."""

from typing import Self

from support.postgres import Postgres
from support.wait import wait_for

STREAMING = (
    "SELECT 1 FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming' AND sync_state = ANY (%s)"
)


class Standby(Postgres):
    """A copy of ``primary``, which it follows under the name ``name``."""

    def __init__(self, primary: Postgres, name: str, *settings: str) -> None:
        self._primary = primary
        self._name = name
        super().__init__(*settings)

    def _create(self) -> None:
        source = f"host=127.0.0.1 port={self._primary.port} user=fmq application_name={self._name}"
        self._run(
            "pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname", source, "--pgdata",
            str(self._data),
        )  # fmt: skip

    def __enter__(self) -> Self:
        self.start()
        self.wait_to_stream()
        return self

    def wait_to_stream(self, *, synchronous: bool = False) -> None:
        """Wait until the primary counts it in: as a synchronous standby, or as any."""
        states = ["sync", "quorum"] if synchronous else ["async", "potential", "sync", "quorum"]
        wait_for(lambda: self._primary.ask(STREAMING, [self._name, states]), what=f"{self._name} to stream")

    def promote(self) -> None:
        """Make it a primary of its own."""
        self.execute("SELECT pg_promote()")


def wait_for_setting(server: Postgres, name: str, value: str) -> None:
    """Change a setting of a running server, and wait until its sessions have it: a reload is only a signal."""
    server.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    server.execute("SELECT pg_reload_conf()")
    wait_for(lambda: server.execute("SELECT current_setting(%s)", [name]) == [(value,)], what=f"{name} = {value}")
