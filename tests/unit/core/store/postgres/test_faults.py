"""Connections that end, replies that are lost and commits that are cancelled."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from fmq.clock import SYSTEM_CLOCK
from fmq.errors import QueueError, StoreUnavailable
from fmq.message import Incoming, Receipt
from fmq.outcome import Dead, Done, GiveBack, RetryLater, Settlement
from fmq.store.backends import open_store
from fmq.store.options import StoreOptions
from fmq.store.postgres.server.session import Session
from fmq.store.postgres.server.target import target_of
from fmq.store.postgres.server.translating import OutcomeUnknown
from fmq.store.postgres.timekeeping import StoreTime
from fmq.store.roles import Store
from support import stressing
from support.backends import PostgresUnderTest
from support.lossy import LossyProxy
from support.postgres import Postgres, shared_server
from support.wait import wait_for

pytestmark = pytest.mark.postgres

_MESSAGE = Incoming("q", "t", b"x", 1.0)


@pytest.fixture
def proxy() -> Iterator[LossyProxy]:
    with LossyProxy(shared_server().port) as running:
        yield running


@pytest.fixture
def far(backend: PostgresUnderTest, proxy: LossyProxy) -> Iterator[Store]:
    """A store whose replies may be lost."""
    url = backend.url.replace(f":{shared_server().port}/", f":{proxy.port}/")
    with open_store(url, StoreOptions(busy_seconds=5), clock=backend.clock) as store:
        store.declare("q")
        yield store


@pytest.fixture
def near(backend: PostgresUnderTest, far: Store) -> Iterator[Store]:
    """The same store, without the proxy."""
    assert far is not None
    with backend.open() as store:
        yield store


@contextmanager
def held(backend: PostgresUnderTest) -> Iterator[None]:
    """Let nobody's changes end, which count at last, until the test commits."""
    backend.execute("BEGIN")
    backend.execute("SELECT 1 FROM fmq_count FOR UPDATE")
    try:
        yield
    finally:
        backend.execute("COMMIT")


class TestLostReplies:
    def test_put(self, far: Store, near: Store, proxy: LossyProxy) -> None:
        """The messages may be stored although the call failed; the receipt in the same commit says so."""
        far.put([], receipt=Receipt("s", 0, b"0", 0))
        assert far.stats("q").stored == 0
        proxy.lose_next_reply()
        with pytest.raises(StoreUnavailable):
            far.put([_MESSAGE], receipt=Receipt("s", 1, b"1", 1))
        wait_for(lambda: near.stats("q").stored == 1, what="the commit")
        assert far.receipts("s") == [(1, b"1")]

    @pytest.mark.parametrize("ordered", [False, True])
    def test_claim(self, far: Store, near: Store, proxy: LossyProxy, *, ordered: bool) -> None:
        """What nobody received is given back by the next claim, and no attempt is counted."""
        far.put([_MESSAGE])
        assert near.claim("q", 0, lease=60, ordered=ordered) == []
        far.set_order("q", ordered=ordered)
        proxy.lose_next_reply()
        with pytest.raises(StoreUnavailable):
            far.claim("q", 1, lease=60, ordered=ordered)
        wait_for(lambda: near.stats("q").claimed == 1, what="the commit")
        (claim,) = far.claim("q", 1, lease=60, ordered=ordered)
        assert (claim.attempt, claim.suspect) == (1, False)
        assert near.stats("q").claimed == 1

    @pytest.mark.parametrize("outcome", [Done(), RetryLater(5, "x"), Dead("x"), GiveBack()])
    def test_settle(self, far: Store, near: Store, proxy: LossyProxy, outcome: Settlement) -> None:
        """Repeating the call is not reported as stale and changes nothing; a third time it is stale."""
        far.put([_MESSAGE, _MESSAGE, _MESSAGE])
        first, claim, other = far.claim("q", 3, lease=60)
        far.settle([(first, outcome)])  # prepares the statement: the next call has one reply
        proxy.lose_next_reply()
        with pytest.raises(StoreUnavailable):
            far.settle([(claim, outcome)])
        wait_for(lambda: near.stats("q").claimed == 1, what="the commit")
        before = near.stats("q")
        assert list(far.settle([(claim, outcome)])) == []
        assert near.stats("q") == before
        assert list(far.settle([(claim, outcome), (other, Done())])) == [claim]

    def test_a_put_that_is_still_under_way(self, backend: PostgresUnderTest, far: Store, near: Store) -> None:
        """A listener that lost its connection reads its receipts: it gets those of the put that the server still works on."""
        far.put([], receipt=Receipt("s", 0, b"0", 0))
        with held(backend), ThreadPoolExecutor() as threads:
            first = threads.submit(far.put, [_MESSAGE], receipt=Receipt("s", 1, b"1", 1))
            wait_for(lambda: backend.waiting() == 1, what="the put to wait")
            found = threads.submit(near.receipts, "s")
            wait_for(lambda: backend.waiting() == 2, what="the reader to wait")
            backend.execute("COMMIT")
            assert found.result(15) == [(1, b"1")]
            first.result(15)

    def test_a_claim_that_is_still_under_way(
        self, backend: PostgresUnderTest, far: Store, near: Store, proxy: LossyProxy
    ) -> None:
        """The next claim waits for it, and gives back what it has lent."""
        far.put([_MESSAGE])
        assert far.claim("q", 0, lease=60) == []
        far.set_order("q", ordered=False)
        with held(backend), ThreadPoolExecutor() as threads:
            lost = threads.submit(far.claim, "q", 1, lease=60)
            wait_for(lambda: backend.waiting() == 1, what="the claim to wait")
            proxy.cut()
            with pytest.raises(StoreUnavailable):
                lost.result(15)
            again = threads.submit(far.claim, "q", 1, lease=60)
            wait_for(lambda: backend.waiting() == 2, what="the next claim to wait")
            backend.execute("COMMIT")
            (claim,) = again.result(15)
        assert (claim.attempt, claim.suspect) == (1, False)
        assert near.stats("q").claimed == 1

    def test_a_settlement_that_did_not_arrive(self, far: Store, backend: PostgresUnderTest) -> None:
        """If the server never got it, repeating it settles the message."""
        far.put([_MESSAGE])
        (claim,) = far.claim("q", 1, lease=60)
        backend.end_sessions()
        with pytest.raises(StoreUnavailable):
            far.settle([(claim, Done())])
        assert list(far.settle([(claim, Done())])) == []
        assert far.stats("q").done == 1


@pytest.mark.parametrize("ordered", [False, True])
def test_six_processes_whose_connections_end(backend: PostgresUnderTest, *, ordered: bool) -> None:
    """Nothing is lost, stored twice or held twice at once, and what nobody received does not wait for the end of its lease."""
    over = threading.Event()

    def disturb() -> None:
        while not over.wait(0.2):
            shared_server().execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fmq' ORDER BY random() LIMIT 2"
            )

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        held = stressing.run(backend.url, processes=6, messages=1_200, ordered=ordered)
    finally:
        over.set()
        thread.join()
    assert stressing.overlaps(held, lambda one: one.topic if ordered else one.id) == 0
    assert backend.full_count() == {stressing.QUEUE: (0, 0, 1_200, 0)}
    with backend.open() as store:
        stats = store.stats(stressing.QUEUE)
    assert (stats.stored, stats.pending, stats.claimed, stats.done, stats.dead) == (1_200, 0, 0, 1_200, 0)


_DEADLOCK = b"DO $$ BEGIN IF nextval('tries') < 3 THEN RAISE 'deadlock' USING ERRCODE = '40P01'; END IF; END $$"


@pytest.mark.parametrize("steps", [[_DEADLOCK], [b"INSERT INTO kept VALUES (1)", _DEADLOCK]])
def test_a_deadlock(backend: PostgresUnderTest, steps: list[bytes]) -> None:
    """The transaction is run again, on the same connection; what it did before the deadlock is undone."""
    backend.execute("CREATE SEQUENCE tries")
    backend.execute("CREATE TABLE kept (id int)")
    session = Session(target_of(backend.url), StoreOptions(), StoreTime(SYSTEM_CLOCK))
    session.transaction([(step, {}) for step in steps])
    assert session.connections == 1
    assert backend.execute("SELECT count(*) FROM kept") == [(len(steps) - 1,)]
    session.close()


def test_an_error_in_a_transaction(backend: PostgresUnderTest) -> None:
    """None of its changes is left, and the connection goes on."""
    session = Session(target_of(backend.url), StoreOptions(), StoreTime(SYSTEM_CLOCK))
    with pytest.raises(QueueError, match="does not take this"):
        session.transaction([(b"CREATE TABLE kept (id int)", {}), (b"SELECT 1 / 0", {})])
    assert session.rows(b"SELECT to_regclass('kept')::text") == [(None,)]
    assert session.connections == 1
    session.close()


def test_the_next_call_connects_again(backend: PostgresUnderTest) -> None:
    """Of a connection that has ended the caller hears once; nothing is left over from it."""
    with backend.open() as store:
        store.declare("q")
        store.wait(0)
        backend.end_sessions()
        with pytest.raises(StoreUnavailable):
            store.put([_MESSAGE])
        assert store.put([_MESSAGE]) == ()
        assert store.wait(0)  # nobody knows what was committed meanwhile
        assert store.stats("q").stored == 1


def test_a_wait_without_a_server(backend: PostgresUnderTest) -> None:
    """It ends at once: the next call says what is wrong."""
    with backend.open() as store:
        store.wait(0)
        backend.end_sessions()
        with pytest.raises(StoreUnavailable):
            wait_for(lambda: store.wait(0) and False, 5, what="the end of the connection")
        assert store.wait(0)


def test_a_commit_that_is_cancelled() -> None:
    """While a commit waits for a standby, somebody cancels it: the server reports success, the store does not.

    The outcome is unknown, so that claims are given back and settlements are asked for.
    """
    with Postgres() as server, open_store(server.url) as store:
        store.declare("q")
        store.put([_MESSAGE])
        server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        server.execute("SELECT pg_reload_conf()")
        caught: list[BaseException] = []

        def put_until_one_fails() -> None:
            try:
                while True:  # the first ones may commit at once: a reload is only a signal to the server's processes
                    store.put([_MESSAGE])
            except OutcomeUnknown as error:
                caught.append(error)

        thread = threading.Thread(target=put_until_one_fails, daemon=True)
        thread.start()
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        (pid,) = wait_for(lambda: server.execute(waiting), what="the commit to wait")[0]
        server.execute("SELECT pg_cancel_backend(%s)", [pid])
        thread.join(30)
        assert "may be lost with the primary" in str(caught[0])
        server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        server.execute("SELECT pg_reload_conf()")
        assert store.put([_MESSAGE]) == ()


def test_a_standby_is_left(backend: PostgresUnderTest) -> None:
    """A server that turns read-only is unavailable, and the connection is made anew."""
    with backend.open() as store:
        store.declare("q")
        backend.execute("ALTER DATABASE test SET default_transaction_read_only = on")
        try:
            backend.end_sessions()
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    store.put([_MESSAGE])
        finally:
            backend.execute(
                "SET default_transaction_read_only = off; ALTER DATABASE test RESET default_transaction_read_only"
            )
        assert store.put([_MESSAGE]) == ()
