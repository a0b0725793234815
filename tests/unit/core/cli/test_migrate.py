"""What `fmq migrate` refuses and prepares, between two SQLite stores."""

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import click
import pytest
from click.testing import CliRunner, Result

from fmq.cli.main import fmq_command
from fmq.errors import FmqError, UnknownQueue
from fmq.message import Incoming, Receipt, Terms
from fmq.outcome import Done
from fmq.store.backends import backend_of, open_store
from fmq.store.moving.mover import OUTBOX
from fmq.store.moving.parcel import Parcel
from fmq.store.records import StoredMessage
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from support.counting import counted, counters


@pytest.fixture
def old(tmp_path: Path) -> str:
    """Two pending messages in ``q``, two in ``ord``, which is in order."""
    url = f"sqlite:///{tmp_path}/old.db"
    with open_store(url) as store:
        for name in ("q", "ord"):
            store.declare(name)
            store.put([Incoming(name, "t", b"%d" % n, 100.0 + n) for n in range(2)])
        store.set_order("ord", ordered=True)
    return url


@pytest.fixture
def new(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/new.db"


def migrate(*words: str) -> Result:
    """What the command answers; raises errors."""
    result = CliRunner().invoke(fmq_command, ["migrate", *words], standalone_mode=False)
    if isinstance(result.exception, FmqError | click.ClickException):
        raise result.exception
    assert result.exception is None, result.output
    return result


def move(source: str, target: str, *words: str) -> Result:
    return migrate("--from", source, "--to", target, "--wait", "0s", *words)


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def order_of(store: Store) -> list[str]:
    """The payloads of ``ord`` in the order in which they are lent."""
    lent = []
    while claims := store.claim("ord", 9, lease=60, ordered=True):
        lent += [one.message.text for one in claims]
        store.settle([(one, Done()) for one in claims])
    return lent


class TestRefusals:
    def test_the_same_store(self, old: str) -> None:
        """However it is written."""
        with pytest.raises(FmqError, match="name the same store"):
            move(old, old.replace("/old.db", "/./old.db"))

    def test_a_copy(self, old: str, new: str) -> None:
        """Its messages are the same ones."""
        with open_store(old) as store:
            store.identity()
        backend_of(old).back_up(old, str(path_of(new)), on_progress=lambda *_: None)
        with pytest.raises(FmqError, match="one is a copy of the other"):
            move(old, new)

    def test_no_store(self, old: str, new: str) -> None:
        """A source is not created by a misspelt name, and an unknown queue is named."""
        with pytest.raises(FmqError, match=r"does not exist|has no store"):
            move(new, old)
        assert not path_of(new).exists()
        with pytest.raises(UnknownQueue, match="has no queue 'x'"):
            move(old, new, "--queue", "x")
        assert not path_of(new).exists()

    def test_no_target(self, old: str) -> None:
        """A wrong argument."""
        with pytest.raises(click.UsageError, match="Expected --to"):
            migrate("--from", old)

    def test_order_that_can_not_be_kept(self, old: str, new: str) -> None:
        """If the target has messages already: nothing moves, and the text names the way. Other queues can move alone."""
        with open_store(new) as store:
            store.declare("ord")
            store.put([Incoming("ord", "t", b"new", 1.0)])
        with pytest.raises(FmqError, match=r"ord is delivered in order, .* Pause it in the target \(fmq pause 'ord'\)"):
            move(old, new)
        assert counted(path_of(old)) == {"q": (2, 0, 0, 0), "ord": (2, 0, 0, 0)}
        assert "Refused: ord" in move(old, new, "--dry-run").stdout
        assert "Moved 2 messages" in move(old, new, "--queue", "q").stdout
        with open_store(old) as store:
            assert order_of(store) == ["0", "1"]
        assert "Moved 2 messages" in move(old, new, "--done").stdout


class TestPreparation:
    def test_a_dry_run(self, old: str, new: str) -> None:
        """Changes nothing, in neither store."""
        told = move(old, new, "--dry-run").stdout
        assert "The target has no store yet. A run creates it" in told
        assert not path_of(new).exists()
        with open_store(old) as store:
            assert store.actions() == []

    def test_keys(self, old: str, new: str) -> None:
        """A duplicate of a message in the old store is one in the new store too."""
        with open_store(old) as store:
            store.put([Incoming("q", "t", b"", 1.0)], terms={0: Terms("key", 600)})
        move(old, new, "--prepare")
        with open_store(new) as store:
            assert store.put([Incoming("q", "t", b"", 1.0)] * 2, terms={0: Terms("key", 600), 1: Terms("x", 9)}) == [0]

    def test_receipts_of_a_session(self, old: str, new: str) -> None:
        """A redelivered message is recognized in the new store."""
        with open_store(old) as store:
            store.remember("subscriptions:c@h:1", "{}")
            for number in (4, 5, 6):
                store.put([], receipt=Receipt("c@h:1", number, b"%d" % number, 4))
        move(old, new, "--prepare")
        with open_store(new) as store:
            assert store.receipts("c@h:1") == [(4, b"4"), (5, b"5"), (6, b"6")]

    def test_a_client_id_of_its_own(self, old: str, new: str) -> None:
        """The target's listener keeps its session, and the output says where messages may be left."""
        for url, client in ((old, "one"), (new, "two")):
            with open_store(url) as store:
                store.remember("client ids", f'{{"{client}": ["q"]}}')
        told = move(old, new, "--prepare").stdout
        assert "does not continue the broker's sessions of the source (one)" in told
        with open_store(new) as store:
            assert store.recall("client ids") == '{"two": ["q"]}'


class TestThereAndBack:
    def test_in_order(self, old: str, new: str) -> None:
        """Order is kept on both ways, the queue is delivered at the end, and an operator's pause stays."""
        with open_store(old) as store:
            store.pause("q", "target is down")
        assert "Moved 4 messages" in move(old, new, "--done").stdout
        with open_store(new) as store:
            assert store.paused("ord") is None
            store.put([Incoming("ord", "t", b"2", 1.0)])
        assert "Moved 5 messages" in move(new, old, "--done").stdout
        with open_store(old) as store:
            assert store.paused("ord") is None
            pause = store.paused("q")
            assert pause is not None
            assert pause.reason == "target is down"
            assert order_of(store) == ["0", "1", "2"]
        for url in (old, new):
            assert counters(path_of(url)) == counted(path_of(url))

    def test_again_with_new_messages(self, old: str, new: str) -> None:
        """What has come to the old store since moves too."""
        move(old, new)
        with open_store(old) as store:
            store.put([Incoming("q", "t", b"late", 1.0)])
            store.declare("another")
            store.put([Incoming("another", "t", b"", 1.0)])
        assert "Moved 2 messages" in move(old, new).stdout
        assert counted(path_of(new)) == {"another": (1, 0, 0, 0), "ord": (2, 0, 0, 0), "q": (3, 0, 0, 0)}


def test_a_lost_target(old: str) -> None:
    """The doctor reports messages that are on their way; they are in their queue again after a question."""

    def keep(found: Sequence[StoredMessage]) -> Receipt:
        return Receipt(OUTBOX, 1, Parcel("run", 1, uuid4(), keep_ids=False, messages=found).pack(), 1)

    with open_store(old) as store:
        ids = store.find("q", Selection(State.PENDING)).ids
        store.take("q", ids, state=State.PENDING, most_bytes=1_000_000, keep=keep)

    def doctor() -> str:
        return CliRunner().invoke(fmq_command, ["doctor", "--skip", "broker"], env={"FMQ_QUEUE_URL": old}).output

    assert "migration: 2 messages are on their way to another store" in doctor()
    asked = CliRunner().invoke(fmq_command, ["migrate", "--from", old, "--lost"], input="n\n")
    assert "Put 2 messages back? If the target has them after all, they are handled twice" in asked.stderr
    assert counted(path_of(old))["q"] == (0, 0, 0, 0)
    assert "Put 2 messages back" in migrate("--from", old, "--lost", "--yes").stdout
    assert counted(path_of(old))["q"] == (2, 0, 0, 0)
    assert "migration" not in doctor()
