"""Messages flow while Patroni and etcd decide who is primary."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from cluster.checker import Verdict
from cluster.network import Host
from cluster.patroni import PatroniCluster
from cluster.traffic import Traffic

MESSAGES = int(os.environ.get("FMQ_CLUSTER_MESSAGES", "30000")) // 5


@pytest.mark.timeout(1_200)
def test_nothing_is_lost(managed_hosts: Sequence[Host], place: Path, tmp_path: Path) -> None:
    """The primary's Patroni and PostgreSQL are killed, a switchover is asked for, and the primary is restarted."""
    with PatroniCluster(managed_hosts, place / "patroni") as patroni:
        verdict = _run(patroni, tmp_path / "run")
    print(f"{MESSAGES:,} messages under Patroni: {verdict}")  # noqa: T201 - the figures of docs/postgres.md
    assert verdict.lost == 0
    assert verdict.stored_twice == 0
    assert verdict.faults == ()


def _run(patroni: PatroniCluster, folder: Path) -> Verdict:
    patroni.await_whole()
    steps = 3
    with Traffic(folder, patroni.url, MESSAGES) as traffic:
        for step in range(steps):
            traffic.allow(MESSAGES * (step + 1) // (steps + 1))
            traffic.await_stored(MESSAGES * (2 * step + 1) // (2 * steps + 2))
            leader, standby = patroni.await_whole()
            match step:
                case 0:
                    leader.kill()
                    patroni.await_leader(standby)
                    leader.start()
                case 1:
                    names = {"leader": leader.host.name, "candidate": standby.host.name}
                    assert leader.ask("switchover", names, seconds=60)
                    patroni.await_leader(standby)
                case _:
                    assert leader.ask("restart", {}, seconds=60)
            traffic.await_stored(MESSAGES * (step + 1) // (steps + 1))
        return traffic.finish(300)
