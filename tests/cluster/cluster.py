"""Three servers, of which one is the primary and the others are its standbys."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cluster.network import Host
from cluster.node import Node, Strike, cut_off
from support.wait import wait_for

# A cut is noticed within seconds, so that a test does not take half a minute.
_QUICK = "connect_timeout=2&tcp_user_timeout=4000&keepalives_idle=2&keepalives_interval=1"


class Cluster:
    """Does what a failover tool does: of the standbys that were streaming, the one that has the most becomes primary."""

    def __init__(self, hosts: Sequence[Host], folder: Path) -> None:
        self.nodes = [Node(host, folder) for host in hosts]
        self.primary = self.nodes[0]
        self._databases = 0

    @property
    def standbys(self) -> Sequence[Node]:
        return [node for node in self.nodes if node is not self.primary]

    def url(self, database: str) -> str:
        """All hosts, in the order of their names, whichever of them is the primary."""
        hosts = ",".join(node.host.address for node in self.nodes)
        return f"postgresql://fmq@{hosts}/{database}?{_QUICK}"

    def new_database(self) -> str:
        """A database for one test. Returns the URL."""
        self.heal()
        self._databases += 1
        self.primary.ask(f"CREATE DATABASE {self.newest}")
        return self.url(self.newest)

    @property
    def newest(self) -> str:
        """The name of the last new database."""
        return f"test{self._databases}"

    def start(self) -> Self:
        self.primary.initialize()
        self.primary.start()
        for node in self.standbys:
            self.add(node)
        self.await_standbys()
        return self

    def add(self, node: Node, *, by_rewind: bool = False) -> None:
        """Make a node that is down a standby of the primary."""
        if not (by_rewind and node.rewind(self.primary)):
            node.copy(self.primary)
        node.follow(self.primary)
        node.start()

    def await_standbys(self) -> None:
        """Wait until every node that runs receives what the primary commits."""
        expected = {node.name for node in self.standbys if node.running}
        wait_for(lambda: self.primary.streaming() >= expected, 60, what=f"{expected} to stream")

    def await_received(self, *, by_all: bool = True) -> None:
        """Wait until all standbys, or one, have on their disks what the primary has.

        With ``by_all`` also what it has not written yet: commits with NORMAL are written with the next one that is not.
        """
        if by_all:
            self.primary.ask("SELECT pg_logical_emit_message(true, 'test', '')")
        written = int(self.primary.ask("SELECT pg_current_wal_lsn() - '0/0'")[0][0])
        enough = all if by_all else any
        wait_for(
            lambda: enough(node.received() >= written for node in self.standbys), what="the standbys to have it all"
        )

    def fail_over(self, strike: Strike, *, to: Node | None = None) -> Node:
        """Strike the primary and promote a standby: by default, as a failover tool has to choose. Returns the old primary."""
        old = self.primary
        streaming = old.streaming()
        candidates = [node for node in self.standbys if node.name in streaming]
        assert candidates, "no synchronous standby is left"
        strike(old)
        if strike is not cut_off:
            wait_for(lambda: not any(node.receives() for node in candidates), what="the standbys to notice")
        new = to or max(candidates, key=Node.received)
        new.promote()
        self.primary = new
        for node in self.standbys:
            if node is not old and node.running:
                node.follow(new)
        return old

    def heal(self) -> None:
        """Bring every node back that is down or cut off."""
        for node in self.nodes:
            node.host.reconnect()
        if not self.primary.running:
            self.primary.start()
        for node in self.standbys:
            if not node.running:
                self.add(node)
            node.follow(self.primary)
        self.await_standbys()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *exc: object) -> None:
        for node in self.nodes:
            node.end()
