"""The default client id: one for each listener of a store, whatever becomes of its filters."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from zlib import crc32

import pytest

from fmq.store.backends import open_store
from fmq.store.roles import Store
from fmq_listener.mqtt.client_id import choose
from fmq_listener.settings import ListenerSettings


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/one.db") as opened:
        yield opened


@pytest.fixture
def other_store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/two.db") as opened:
        yield opened


def _named(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The client ids that warnings have named since the last call."""
    found = [one.getMessage().rpartition("=")[2] for one in caplog.records if one.levelname == "WARNING"]
    caplog.clear()
    return found


def _choose(store: Store, *topics: str, client_id: str | None = None) -> str:
    settings = ListenerSettings(topics=topics, client_id=client_id)
    for one in settings.filters:
        store.declare(one.name)
    return choose(settings, store, store.identity())


def test_it_is_one_that_every_broker_takes(store: Store) -> None:
    """Up to 23 letters, digits and hyphens (MQTT 5, section 3.1.3.1; NATS refuses dots)."""
    assert re.fullmatch(r"[A-Za-z0-9-]{1,23}", _choose(store, "sensors/#", "ä/ö"))


def test_two_stores_never_share_one(store: Store, other_store: Store) -> None:
    """Two sessions of one name would evict each other."""
    assert _choose(store, "a") != _choose(other_store, "a")


def test_the_order_of_filters_changes_nothing(store: Store) -> None:
    """A new id would leave behind what the broker keeps for the old one."""
    one = _choose(store, "b", "a")
    assert _choose(store, "a", "b") == one


def test_filters_come_and_go_under_the_same_id(store: Store) -> None:
    """One at a time until none of the first ones is left."""
    one = _choose(store, "m")
    for topics in (("a", "m"), ("a", "z"), ("z",), ("k", "z")):
        assert _choose(store, *topics) == one


def test_a_shared_subscription_changes_nothing(store: Store) -> None:
    """$share/GROUP/ comes, changes and goes: the session of the queue stays, with the messages that it holds."""
    one = _choose(store, "a")
    for topic in ("$share/g/a", "$share/h/a", "a"):
        assert _choose(store, topic) == one


def test_an_id_that_is_no_longer_used_is_named(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """Once: two listeners became one, or all filters were replaced. The broker keeps messages for the old id."""
    one = _choose(store, "a")
    two = _choose(store, "b")
    assert _named(caplog) == [one]  # which may be in use by another listener
    merged = _choose(store, "a", "b")
    assert _named(caplog) == [({one, two} - {merged}).pop()]
    assert _choose(store, "a", "b") == merged
    assert _choose(store, "b") == merged
    assert _named(caplog) == []
    assert _choose(store, "c") != merged
    assert _named(caplog) == [merged]


def test_two_listeners_of_one_store_have_two(store: Store) -> None:
    """Also when one of them was split off."""
    one = _choose(store, "a", "b")
    two = _choose(store, "c")
    assert one != two
    assert _choose(store, "a") == one
    three = _choose(store, "b")
    assert len({one, two, three}) == 3
    assert [_choose(store, topic) for topic in "abc"] == [one, three, two]


def test_a_filter_that_another_listener_left_behind_gets_an_id_of_its_own(store: Store) -> None:
    """The id that its name would give is in use."""
    one = _choose(store, "a", "b")
    assert _choose(store, "b") == one
    assert _choose(store, "a") != one
    assert _choose(store, "b") == one


def test_an_upgrade_takes_the_session_of_the_old_default_over(store: Store) -> None:
    """Earlier versions made it of the host name and the first filter: the broker still has messages for it."""
    old = f"fmq-{socket.gethostname()[:32]}-{crc32(b'b'):08x}"
    store.remember(f"subscriptions:{old}@127.0.0.1:1883", "{}")
    assert _choose(store, "a", "b") == old
    assert _choose(store, "a") == old


def test_what_the_user_says_comes_first(store: Store) -> None:
    """And leaves the default alone."""
    one = _choose(store, "a")
    assert _choose(store, "a", client_id="mine") == "mine"
    assert _choose(store, "a") == one


def test_an_upgrade_that_removes_the_first_filter_takes_it_over_too(store: Store) -> None:
    """The id was made of a filter that is gone; the note of its session has the other one."""
    old = f"fmq-{socket.gethostname()[:32]}-{crc32(b'a'):08x}"
    for name in ("a", "b", "c"):
        store.declare(name)
    store.remember(f"subscriptions:{old}@127.0.0.1:1883", '{"a": 5, "b": 7}')
    assert _choose(store, "c") != old
    assert _choose(store, "b") == old


def test_two_listeners_that_start_at_the_same_moment_have_two(tmp_path: Path) -> None:
    """One listener was split into two, which both find the id of the old one."""

    class Interrupted:
        """A store on which the other listener starts just before this one writes its note."""

        def __init__(self, store: Store) -> None:
            self.recall, self.names, self._store = store.recall, store.names, store
            self.other = ""

        def exchange(self, key: str, old: str | None, new: str) -> bool:
            self.other = self.other or _choose(self._store, "b")
            return self._store.exchange(key, old, new)

    with open_store(f"sqlite:///{tmp_path}/q.db") as store:
        one = _choose(store, "a", "b")
        interrupted = Interrupted(store)
        mine = choose(ListenerSettings(topics=("a",)), cast("Store", interrupted), store.identity())
        assert interrupted.other == one
        assert mine != one
        assert (_choose(store, "a"), _choose(store, "b")) == (mine, one)


def test_an_upgrade_that_splits_a_listener_gives_the_session_to_one(store: Store) -> None:
    """The first that starts takes the old one over."""
    old = f"fmq-{socket.gethostname()[:32]}-{crc32(b'a'):08x}"
    store.declare("a")
    store.remember(f"subscriptions:{old}@127.0.0.1:1883", '{"a": 5, "b": 7}')
    assert _choose(store, "b") == old
    assert _choose(store, "a") != old
    assert _choose(store, "b") == old
