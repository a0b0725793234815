"""Messages flow while primaries die, one after another."""

import os
from pathlib import Path

import pytest

from cluster.cluster import Cluster
from cluster.node import STRIKES, cut_off, killed
from cluster.traffic import Traffic
from support.wait import wait_for

MESSAGES = int(os.environ.get("FMQ_CLUSTER_MESSAGES", "30000"))
FAILOVERS = int(os.environ.get("FMQ_CLUSTER_FAILOVERS", "3"))


@pytest.mark.timeout(3_000)
def test_nothing_is_lost(cluster: Cluster, tmp_path: Path) -> None:
    """Primaries are killed, stopped and cut off, and a synchronous standby is promoted each time; a standby is cut off too.

    Every message is stored in one row and handled, the services go on without a restart, and the counters are right.
    """
    url = cluster.new_database()
    with Traffic(tmp_path / "run", url, MESSAGES) as traffic:
        steps = FAILOVERS + 2  # a cut of the primary, and one of a standby
        for step in range(steps):
            traffic.allow(MESSAGES * (step + 1) // (steps + 1))
            traffic.await_stored(MESSAGES * (2 * step + 1) // (2 * steps + 2))
            if step == steps - 2:
                old = cluster.fail_over(cut_off)
                old.kill()  # what fences it, before anyone can reach it again
            elif step == steps - 1:
                cluster.standbys[0].host.cut_off()
            else:
                old = cluster.fail_over(STRIKES[step % len(STRIKES)])
                cluster.add(old, by_rewind=step % 2 == 0)
            traffic.await_stored(MESSAGES * (step + 1) // (steps + 1))
            cluster.heal()
        verdict = traffic.finish(600)
    print(f"{MESSAGES:,} messages, {FAILOVERS + 1} failovers: {verdict}")  # noqa: T201 - the figures of docs/postgres.md
    assert verdict.lost == 0
    assert verdict.stored_twice == 0
    assert verdict.faults == ()


@pytest.mark.timeout(300)
def test_a_stale_standby_loses_messages(cluster: Cluster, tmp_path: Path) -> None:
    """Control: a node that was not streaming is promoted. The check has to see that."""
    count = 6_000
    url = cluster.new_database()
    stale, synchronous = cluster.standbys
    with Traffic(tmp_path / "run", url, count) as traffic:
        traffic.allow(count // 3)
        traffic.await_stored(count // 3)
        stale.follow_nobody()
        traffic.allow(count * 2 // 3)
        traffic.await_stored(count * 2 // 3)
        old = cluster.fail_over(killed, to=stale)
        synchronous.kill()
        for node in (old, synchronous):
            cluster.add(node)
        traffic.allow(count)
        traffic.publisher.finish(120)
        traffic.await_stored(count * 2 // 3, 60)
        wait_for(traffic.is_idle, 60, what="all messages to be handled")
        verdict = traffic.end()
    print(f"{count:,} messages, a stale node promoted: {verdict}")  # noqa: T201 - the figures of docs/postgres.md
    assert verdict.lost >= count // 3
