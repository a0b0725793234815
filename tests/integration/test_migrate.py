"""`fmq migrate` with real processes, from each kind of store to each other kind."""

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from fmq.message import Incoming, MessageId
from fmq.outcome import Cause, Dead, Done, RetryLater, Settlement
from fmq.store.backends import open_store
from fmq.store.records import ServiceReport, StoredMessage
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq.text import without_password
from support.backends import BACKENDS
from support.processes import Processes
from support.wait import wait_for

pytestmark = pytest.mark.postgres

_COUNT = 600
_PAIRS = [("sqlite", "postgresql"), ("postgresql", "sqlite")]


class Stores:
    """The URLs of two stores of which the first has messages in all states, in two queues; ``ord`` is in order."""

    def __init__(self, folder: Path, kinds: tuple[str, str]) -> None:
        self.source, self.target = (_url(folder, name, kind) for name, kind in zip("ab", kinds, strict=True))
        self.processes = Processes(folder)
        with open_store(self.source) as store:
            for name in ("a/#", "ord"):
                store.declare(name)
            store.set_order("ord", ordered=True)
            for start in range(0, _COUNT, 100):
                store.put([_message("a/#", n) for n in range(start, start + 100)])
            store.put([_message("ord", n) for n in range(50)])
            claims = store.claim("a/#", 60, lease=600)
            outcomes: list[Settlement] = [Done(), Dead("no", Cause.REJECTED), RetryLater(3_600, "later", Cause.TIMEOUT)]
            store.settle([(one, outcomes[n % 3]) for n, one in enumerate(claims)], worker="w/1")

    @property
    def shown(self) -> str:
        """The URL of the first one, as people see it."""
        return without_password(self.source)

    def arguments(self, *more: str) -> tuple[str, ...]:
        return ("migrate", "--from", self.source, "--to", self.target, *more)


def _message(name: str, number: int) -> Incoming:
    return Incoming(name, f"{name[0]}/{number % 5}", b"%d\xff" % number, 1_700_000_000.0 + number)


def _url(folder: Path, name: str, kind: str) -> str:
    (folder / name).mkdir()
    return BACKENDS[kind](folder / name).url


def _content(store: Store) -> dict[str, list[float]]:
    """All messages, with their times in the order of their names."""
    found: list[StoredMessage] = []
    for name in store.names():
        ids: Sequence[MessageId] = store.find(name, Selection(State.ANY), limit=10 * _COUNT).ids
        found += store.stored(name, ids)
    content = {
        str((one.message._replace(id=0), one.state, one.reason, one.attempts)): [
            at for at in (one.stored_at, one.due_at, one.settled_at) if at is not None
        ]
        for one in found
    }
    assert len(content) == len(found)  # none is there twice
    return content


@pytest.fixture(params=_PAIRS, ids=lambda pair: f"{pair[0]}-to-{pair[1]}")
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    made = Stores(tmp_path, request.param)
    with made.processes:
        yield made


def test_killed_many_times(stores: Stores) -> None:
    """Killed with SIGKILL at random points, and run again until it is over: every message has moved once, as it was."""
    with open_store(stores.source) as source, closing(open_store(stores.target)) as target:
        before = _content(source)
        dice = random.Random(7)
        kills = 0
        while True:
            there = len(_content(target))
            process = stores.processes.start(*stores.arguments("--done", "--rate", "400"))
            goal = there + dice.randrange(1, 150)
            wait_for(lambda: len(_content(target)) >= goal or not process.running, 60, what="some messages")  # noqa: B023
            if not process.running:
                break
            process.kill()
            kills += 1
        assert process.wait() == 0, process.text
        assert kills >= 3
        after = _content(target)
        assert after.keys() == before.keys()
        for one, times in before.items():
            assert after[one] == pytest.approx(times, abs=1)  # SQLite reads two clocks to convert them
        assert not _content(source)
        assert target.ordered("ord") is True
        assert target.paused("ord") is None
        assert {one.selection for one in target.actions()} == {f"from {stores.shown}"}
        assert {one.kind for one in source.actions()} == {"migrate"}


def test_order_is_kept(stores: Stores) -> None:
    """While a listener fills the new store already, and a processor holds a message of the old one."""
    with open_store(stores.source) as source, closing(open_store(stores.target)) as target:
        (held,) = source.claim("ord", 1, lease=600, ordered=True)
        assert stores.processes.start(*stores.arguments("--prepare")).wait() == 0
        target.put([_message("ord", n) for n in range(50, 60)])
        moving = stores.processes.start(*stores.arguments())
        wait_for(lambda: target.stats("ord").pending == 59, 60, what="what can be moved")
        assert (
            source.paused("ord") is not None
        )  # or a later message of a topic could be handled there, before what has moved
        assert target.claim("ord", 5, lease=60, ordered=True) == []
        source.settle([(held, RetryLater(0, "again"))])
        assert moving.wait(60) == 0, moving.text
        lent: dict[str, list[int]] = {}
        while claims := target.claim("ord", 60, lease=60, ordered=True):
            for one in claims:
                lent.setdefault(one.message.topic, []).append(int(one.message.payload[:-1]))
            target.settle([(one, Done()) for one in claims])
        assert sum(map(len, lent.values())) == 60
        assert all(numbers == sorted(numbers) for numbers in lent.values())


def test_what_people_are_told(stores: Stores) -> None:
    """A dry run changes nothing; a listener on the old store is refused; sums at the end; what is held is left."""
    with open_store(stores.source) as source:
        dry = stores.processes.start(*stores.arguments("--dry-run"))
        assert dry.wait() == 0, dry.text
        assert "in order: paused in both stores while its messages move" in dry.text
        source.report(ServiceReport("listener h/1", "listener", "h", 1, "0", 1.0, {"queues": ["a/#"]}))
        refused = stores.processes.start(*stores.arguments())
        assert refused.wait() == 1
        assert "The listener on h (process 1) still stores messages in the source" in refused.text
        source.withdraw("listener h/1")
        source.claim("a/#", 3, lease=600)
        left = stores.processes.start(*stores.arguments("--queue", "a/#", "--wait", "0s"))
        assert left.wait(60) == 1
        assert "3 messages left, held by processors" in left.text
        table = " ".join(left.text.split())
        assert (
            f"QUEUE PENDING LAPSED DEAD DONE MOVED COMPARED BYTES a/# {_COUNT - 43} 0 20 0 {_COUNT - 23} {_COUNT - 23}"
            in table
        )
        assert source.stats("ord").pending == 50
        assert source.stats("a/#").done == 20


def test_what_a_listener_knows(stores: Stores) -> None:
    """Notes and receipts of its session go to the new store once, before the first message; there they are not overwritten."""
    with open_store(stores.source) as source:
        source.remember("client ids", json.dumps({"fmq-1": ["a/#"]}))
        source.remember("subscriptions:fmq-1@h:1883", '{"a/#": 1}')
        source.pause("a/#", "target is down")
        assert stores.processes.start(*stores.arguments("--prepare")).wait() == 0
        source.remember("retained:fmq-1@h:1883", "late")
        assert stores.processes.start(*stores.arguments("--prepare")).wait() == 0
    with open_store(stores.target) as target:
        assert target.recall("client ids") == '{"fmq-1": ["a/#"]}'
        assert target.recall("subscriptions:fmq-1@h:1883") == '{"a/#": 1}'
        assert target.recall("retained:fmq-1@h:1883") is None
        pause = target.paused("a/#")
        assert pause is not None
        assert pause.reason == "target is down"
        assert target.stats("a/#").pending == 0
