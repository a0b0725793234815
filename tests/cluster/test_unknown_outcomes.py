"""The primary dies while a call is under way: the store finds out on the new one what has become of it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest

from cluster.cluster import Cluster
from cluster.node import Node, killed
from fmq.errors import StoreUnavailable
from fmq.message import Claim, Incoming, Receipt
from fmq.outcome import Dead, Done, GiveBack, RetryLater, Settlement
from fmq.store.backends import open_store
from fmq.store.options import Durability, StoreOptions
from fmq.store.roles import Store
from support.wait import wait_for

_MESSAGE = Incoming("q", "t", b"x", 1.0)
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fmq' AND wait_event_type = ANY (%s)"


@pytest.fixture
def store(cluster: Cluster) -> Iterator[Store]:
    """Its commits wait for a standby."""
    with open_store(cluster.new_database(), StoreOptions(durability=Durability.FULL)) as opened:
        opened.declare("q")
        yield opened


def waits(node: Node, *, for_what: str) -> None:
    wait_for(lambda: node.ask(_WAITING, [for_what]) == [(1,)], what=f"a call that waits for {for_what}")


Death = Callable[[Cluster, Callable[[], object]], None]
"""Runs a call, during which the primary is killed and a standby promoted."""


def before_commit(cluster: Cluster, call: Callable[[], object]) -> None:
    """The call is held up when it counts what it has done, and none of it is committed."""
    with closing(psycopg.connect(cluster.primary.conninfo(cluster.newest))) as holder, ThreadPoolExecutor(1) as threads:
        holder.execute("SELECT 1 FROM fmq_count FOR UPDATE")
        called = threads.submit(call)
        waits(cluster.primary, for_what="Lock")
        cluster.fail_over(killed)
        with pytest.raises(StoreUnavailable):
            called.result(30)


def after_commit(cluster: Cluster, call: Callable[[], object]) -> None:
    """The call is committed on a standby, and the primary dies before it knows."""
    cluster.await_received()
    for node in cluster.standbys:
        node.host.mute(cluster.primary.host)
    with ThreadPoolExecutor(1) as threads:
        called = threads.submit(call)
        waits(cluster.primary, for_what="IPC")
        cluster.await_received(by_all=False)
        cluster.fail_over(killed)
        with pytest.raises(StoreUnavailable):
            called.result(30)


DEATHS = pytest.mark.parametrize("death", [before_commit, after_commit])


@DEATHS
def test_a_put(cluster: Cluster, store: Store, death: Death) -> None:
    """Receipts say whether the messages are stored; putting those that are not leaves each once."""
    store.put([], receipt=Receipt("s", 1, b"1", 1))
    death(cluster, lambda: store.put([_MESSAGE], receipt=Receipt("s", 2, b"2", 1)))
    cluster.heal()
    known = dict(store.receipts("s"))
    assert (2 in known) is (death is after_commit)
    if 2 not in known:
        store.put([_MESSAGE], receipt=Receipt("s", 2, b"2", 1))
    assert store.stats("q").stored == store.stats("q").pending == 1


@DEATHS
def test_a_claim(cluster: Cluster, store: Store, death: Death) -> None:
    """The next claim lends what nobody received, and counts no attempt."""
    store.put([_MESSAGE])
    assert store.claim("q", 0, lease=60) == []
    store.set_order("q", ordered=False)
    death(cluster, lambda: store.claim("q", 1, lease=600))
    cluster.heal()
    (claim,) = store.claim("q", 1, lease=60)
    assert (claim.attempt, claim.suspect) == (1, False)
    assert store.stats("q").claimed == 1


@DEATHS
def test_a_settlement(cluster: Cluster, store: Store, death: Death) -> None:
    """Repeated, it is not stale, whether the first one was committed or not; nothing is settled or counted twice."""
    outcomes: list[Settlement] = [Done(), RetryLater(3600, "x"), Dead("x"), GiveBack()]
    store.put([_MESSAGE] * 4)
    claims: list[Claim] = list(store.claim("q", 4, lease=600))
    settlements = list(zip(claims, outcomes, strict=True))
    death(cluster, lambda: store.settle(settlements))
    cluster.heal()
    assert list(store.settle(settlements)) == []
    stats = store.stats("q")
    assert (stats.pending, stats.claimed, stats.done, stats.dead) == (2, 0, 1, 1)
    assert (stats.handled, stats.failed, stats.died) == (1, 2, 1)
    assert list(store.settle(settlements[:1])) == claims[:1]
