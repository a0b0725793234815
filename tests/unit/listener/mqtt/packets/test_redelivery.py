"""Telling redelivered messages from new ones: the rule and its limits."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from fmq.message import Incoming, Properties, Receipt
from fmq_listener.mqtt.packets.batch import Batch
from fmq_listener.mqtt.packets.redelivery import Redelivery

_WINDOW = 4


class Kept:
    """The receipts that a store would keep."""

    def __init__(self) -> None:
        self.rows: dict[int, bytes] = {}
        self.notes: dict[str, str] = {}

    def remember(self, key: str, value: str) -> None:
        self.notes[key] = value

    def recall(self, key: str) -> str | None:
        return self.notes.get(key)

    def receipts(self, session: str) -> Sequence[tuple[int, bytes]]:
        assert session == "s"
        return sorted(self.rows.items())

    def forget_receipts(self, session: str) -> None:
        assert session == "s"
        self.rows.clear()

    def keep(self, receipt: Receipt | None) -> None:
        if receipt:
            self.rows[receipt.number] = receipt.data
            self.rows = {number: data for number, data in self.rows.items() if number >= receipt.first_kept}


class Life:
    """One broker session, over several connections and lives of the listener."""

    def __init__(self) -> None:
        self.kept = Kept()
        self.redelivery = Redelivery(self.kept, session="s", window=_WINDOW)
        self.redelivery.begin(session_present=False)

    def reconnect(self, *, session_present: bool = True, killed: bool = False) -> None:
        if killed:
            self.redelivery = Redelivery(self.kept, session="s", window=_WINDOW)
        self.redelivery.begin(session_present=session_present)

    def take(
        self, *packets: tuple[int, bytes], dup: bool = False, queues: int = 1, commits: bool = True
    ) -> list[bytes]:
        """The payloads that are stored of one batch."""
        batch = batch_of(((number, dup, [message(payload)] * queues) for number, payload in packets))
        stored, again, receipt = self.redelivery.sift(batch)
        assert len(stored) + len(again) == len(batch.messages)
        if commits:
            self.kept.keep(receipt)
            self.redelivery.stored(receipt)
        return [one.payload for one in stored]


def message(payload: bytes, properties: Properties | None = None) -> Incoming:
    return Incoming("q", "t", payload, 1.0, 1, False, properties)


def batch_of(packets: Iterable[tuple[int, bool, Sequence[Incoming]]]) -> Batch:
    batch = Batch(1)
    for number, dup, messages in packets:
        batch.marks.append((number, dup, len(batch.messages), len(messages)))
        batch.messages += messages
    return batch


@pytest.fixture
def life() -> Life:
    return Life()


@pytest.mark.parametrize("killed", [False, True])
def test_what_was_committed_and_comes_again_is_not_stored_again(life: Life, *, killed: bool) -> None:
    """On the next connection of the same session, in this process or the next."""
    assert life.take((1, b"a"), (2, b"b")) == [b"a", b"b"]
    life.reconnect(killed=killed)
    assert life.take((1, b"a"), (2, b"b"), (3, b"c"), dup=True) == [b"c"]
    life.reconnect(killed=killed)
    assert life.take((1, b"a"), (2, b"b"), (3, b"c"), dup=True) == []


def test_what_was_never_committed_is_stored(life: Life) -> None:
    """A receipt whose commit failed tells nothing."""
    assert life.take((1, b"a"), commits=False) == [b"a"]
    life.reconnect()
    assert life.take((1, b"a"), dup=True) == [b"a"]


def test_an_identical_message_with_a_used_packet_id_is_new(life: Life) -> None:
    """Packet ids are used again: without DUP a message is new, whatever it holds, on this connection and the next."""
    assert life.take((7, b"a")) == [b"a"]
    assert life.take((7, b"a")) == [b"a"]
    life.reconnect()
    assert life.take((7, b"a")) == [b"a"]
    life.reconnect()
    assert life.take((7, b"a"), (7, b"a"), dup=True) == [b"a"]


def test_another_message_with_a_used_packet_id_is_new(life: Life) -> None:
    """Its first delivery was lost, so it comes with DUP; its content tells it apart."""
    life.take((1, b"a"))
    life.reconnect()
    assert life.take((1, b"b"), dup=True) == [b"b"]


def test_the_limit(life: Life) -> None:
    """Indistinguishable: an identical message that took over the id at once, and whose first delivery was lost.

    Beyond the window nothing is taken for an old one.
    """
    life.take((1, b"a"))
    life.reconnect()
    assert life.take((1, b"a"), dup=True) == []
    life.reconnect(session_present=False)
    life.take((1, b"a"), (2, b"x"), (3, b"x"))
    life.take((4, b"x"), (5, b"x"))
    life.reconnect()
    assert life.take((1, b"a"), dup=True) == [b"a"]


def _numbered_anew(caplog: pytest.LogCaptureFixture) -> bool:
    found = "numbers its packets anew" in caplog.text
    caplog.clear()
    return found


@pytest.mark.parametrize("killed", [False, True])
def test_a_broker_that_numbers_anew_on_each_connection(
    life: Life, caplog: pytest.LogCaptureFixture, *, killed: bool
) -> None:
    """RabbitMQ does: identical messages that were never stored come with DUP and old numbers. None is left out."""
    life.take((1, b"x"), (2, b"x"))
    life.take((3, b"x"), (4, b"x"))
    for _ in range(2):
        life.reconnect(killed=killed)
        assert life.take((1, b"x"), (2, b"x"), dup=True) == [b"x", b"x"]
        assert _numbered_anew(caplog)
        assert life.take((3, b"x"), dup=True) == [b"x"]


def test_a_new_message_with_the_first_number_shows_it_too(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    """And what comes with DUP on the next connection is stored, although the last commit had its number."""
    life.take((1, b"x"))
    life.reconnect()
    assert life.take((1, b"x"), (2, b"x")) == [b"x", b"x"]
    assert _numbered_anew(caplog)
    life.reconnect(killed=True)
    assert life.take((1, b"x"), dup=True) == [b"x"]


@pytest.mark.parametrize("killed", [False, True])
def test_a_session_whose_acknowledgements_are_all_lost(life: Life, *, killed: bool) -> None:
    """The first message of all comes again on each connection, with all behind it: that is no new numbering."""
    life.take((1, b"x"))
    life.take((2, b"x"), (3, b"x"))
    for _ in range(3):
        life.reconnect(killed=killed)
        assert life.take((1, b"x"), (2, b"x"), (3, b"x"), dup=True) == []


def test_a_broker_that_goes_on_is_believed_again(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    """Mosquitto comes round to 1 after 65,535: then one connection goes without, and the next one not."""
    life.take((65_534, b"x"), (65_535, b"y"))
    life.reconnect()
    assert life.take((1, b"x")) == [b"x"]
    assert _numbered_anew(caplog)
    life.take((2, b"z"))
    life.reconnect()
    assert life.take((2, b"z"), dup=True) == []
    life.reconnect()
    assert life.take((2, b"z"), dup=True) == []
    assert not _numbered_anew(caplog)


def test_receipts_are_dropped_when_the_window_has_passed(life: Life) -> None:
    """What is kept is bounded by the window and a batch, and enough: the last messages are recognised in any order."""
    for number in range(1, 30):
        life.take((number, b"%d" % number))
    assert len(life.kept.rows) == _WINDOW
    life.reconnect(killed=True)
    assert life.take(*((number, b"%d" % number) for number in range(26, 30)), dup=True) == []
    life.take(*((number, b"x") for number in range(30, 50)))
    assert len(life.kept.rows) == 1


def test_another_session_knows_nothing(life: Life) -> None:
    """A new session of the broker uses packet ids from the beginning: what is known of the old one is forgotten for good."""
    life.take((1, b"a"))
    life.reconnect(session_present=False)
    life.reconnect(killed=True)
    assert life.take((1, b"a"), dup=True) == [b"a"]


def test_a_message_of_several_queues_goes_into_all_or_none(life: Life) -> None:
    """One packet, one decision; packets of no queue and of QoS 0 stay out of it."""
    assert life.take((1, b"a"), queues=2) == [b"a", b"a"]
    life.reconnect()
    batch = batch_of([(1, True, [message(b"a")] * 2), (2, True, [])])
    batch.messages.append(message(b"of QoS 0"))
    stored, again, receipt = life.redelivery.sift(batch)
    assert ([one.payload for one in stored], len(again), receipt) == ([b"of QoS 0"], 2, None)


def test_properties_count_but_not_the_expiry(life: Life) -> None:
    """A broker sends a redelivered message with less time to live; any other property makes it another message."""
    properties = Properties(message_expiry_interval=60, user_properties=(("a", "1"),))
    for one, stored in (
        (properties, 1),
        (replace(properties, message_expiry_interval=50), 0),
        (replace(properties, user_properties=(("a", "2"),)), 1),
        (None, 1),
    ):
        batch = batch_of([(1, stored == 0 or one is not properties, [message(b"a", one)])])
        found, _, receipt = life.redelivery.sift(batch)
        assert len(found) == stored
        life.kept.keep(receipt)
        life.redelivery.stored(receipt)
        life.reconnect()
