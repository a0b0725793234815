"""What a page reads: newest first, heads of payloads, one message with its attempts, dead letters in groups."""

import pytest

from fmq.message import NO_PROPERTIES, Incoming, Properties, Terms
from fmq.outcome import Cause, Dead, Done, RetryLater
from fmq.store.fingerprint import fingerprint
from fmq.store.options import Retention
from fmq.store.records import Attempt, Head
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from support.clock import FakeClock

_TOTAL = 9


@pytest.fixture
def ids(queue: Store, clock: FakeClock) -> dict[str, int]:
    """One message in each state, by its topic; each came a second after the one before."""
    for topic in ("done", "dead/1", "dead/2", "retry", "claimed", "given", "delayed", "new/1", "new/2"):
        terms = {0: Terms(delay=600)} if topic == "delayed" else {}
        queue.put([Incoming("q", topic, f"payload of {topic}".encode(), clock.wall())], terms=terms)
        clock.advance(1)
    claims = {claim.message.topic: claim for claim in queue.claim("q", 6, lease=60)}
    queue.settle([(claims["done"], Done())], worker="host/1")
    clock.advance(5)
    queue.settle([(claims["dead/2"], Dead("no route to 10.0.0.2", Cause.REJECTED))], worker="host/1")
    clock.advance(5)
    queue.settle(
        [
            (claims["dead/1"], Dead("no route to 10.0.0.1", Cause.REJECTED)),
            (claims["retry"], RetryLater(300, "refused", Cause.UNAVAILABLE)),
            (claims["given"], RetryLater(0, "refused", Cause.UNAVAILABLE)),
        ],
        worker="host/2",
    )
    return {one.topic: one.id for one in queue.heads("q", Selection(State.ANY)).heads}


def walk(
    queue: Store, which: Selection, *, text: str | None = None, limit: int = 50, within: int = 10_000
) -> list[Head]:
    """All heads, step by step; no step looks at more than its bound, and the steps look at each message once."""
    found: list[Head] = []
    before: str | None = None
    while True:
        page = queue.heads("q", which, text=text, before=before, limit=limit, within=within)
        assert page.looked_at <= within
        found += page.heads
        before = page.before
        if before is None:
            return found


class TestHeads:
    @pytest.mark.parametrize("step", [{"within": 1}, {"within": 2}, {"limit": 1}, {"limit": 3, "within": 4}, {}])
    def test_newest_first(self, queue: Store, ids: dict[str, int], step: dict[str, int]) -> None:
        """In any steps each message comes once; dead letters by the time of their death."""
        for state, topics in {
            State.ANY: ["new/2", "new/1", "delayed", "given", "claimed", "retry", "dead/2", "dead/1", "done"],
            State.PENDING: ["new/2", "new/1", "delayed", "given", "retry"],
            State.DELAYED: ["delayed", "retry"],
            State.CLAIMED: ["claimed"],
            State.DONE: ["done"],
            State.DEAD: ["dead/1", "dead/2"],
        }.items():
            heads = walk(queue, Selection(state), limit=step.get("limit", 50), within=step.get("within", 10_000))
            assert [one.topic for one in heads] == topics
            assert [one.id for one in heads] == [ids[topic] for topic in topics]

    @pytest.mark.usefixtures("ids")
    def test_what_a_head_says(self, queue: Store, clock: FakeClock) -> None:
        """The state and the times that belong to it, the first bytes of the payload and the size of the whole."""
        heads = {one.topic: one for one in queue.heads("q", Selection(State.ANY), head_bytes=7).heads}
        assert {one.payload for one in heads.values()} == {b"payload"}
        assert heads["new/1"].size == len(b"payload of new/1")
        assert {topic: one.state for topic, one in heads.items()} == {
            "done": State.DONE,
            "dead/1": State.DEAD,
            "dead/2": State.DEAD,
            "retry": State.DELAYED,
            "claimed": State.CLAIMED,
            "given": State.PENDING,
            "delayed": State.DELAYED,
            "new/1": State.PENDING,
            "new/2": State.PENDING,
        }
        now = clock.wall()
        assert heads["done"].settled_at == pytest.approx(now - 10)
        assert heads["dead/2"].settled_at == pytest.approx(now - 5)
        assert heads["retry"].due_in == pytest.approx(300)
        assert heads["claimed"].lease == pytest.approx(50)
        assert heads["dead/1"].reason == "no route to 10.0.0.1"
        clock.advance(60)
        [claimed] = queue.heads("q", Selection(State.CLAIMED)).heads
        assert claimed.lease == pytest.approx(-10)  # until somebody claims it again

    @pytest.mark.parametrize(
        ("which", "text", "topics"),
        [
            (Selection(State.ANY, topic="new/+"), None, ["new/2", "new/1"]),
            (Selection(State.ANY), "of new/", ["new/2", "new/1"]),
            (Selection(State.ANY), "claimed", ["claimed"]),
            (Selection(State.ANY), "nowhere", []),
            (Selection(State.ANY, reason="REFUSED"), None, ["given", "retry"]),
            (Selection(State.DEAD, fingerprint=fingerprint("no route to 1.2.3.4")), None, ["dead/1", "dead/2"]),
            (Selection(State.DEAD, fingerprint="another"), None, []),
        ],
    )
    @pytest.mark.parametrize("step", [{"within": 2}, {"limit": 1}, {}])
    def test_filters(
        self,
        queue: Store,
        ids: dict[str, int],
        which: Selection,
        text: str | None,
        topics: list[str],
        step: dict[str, int],
    ) -> None:
        """By topic, text, reason and group; what fits is found in any steps."""
        assert len(ids) == _TOTAL
        assert [
            one.topic
            for one in walk(queue, which, text=text, limit=step.get("limit", 50), within=step.get("within", 10_000))
        ] == topics

    def test_a_step_says_how_far_it_looked(self, queue: Store, ids: dict[str, int]) -> None:
        """A limit never looks like emptiness: how many messages were looked at, and where to go on."""
        page = queue.heads("q", Selection(State.ANY), text="nowhere", within=4)
        assert (page.heads, page.looked_at) == ([], 4)
        assert page.before is not None
        last = queue.heads("q", Selection(State.ANY), text="nowhere", before=page.before)
        assert (last.looked_at, last.before) == (len(ids) - 4, None)

    def test_the_group_of_a_search(self, queue: Store, ids: dict[str, int]) -> None:
        """An operator who acts on a group means the same messages as the page that shows it."""
        which = Selection(State.DEAD, fingerprint=fingerprint("no route to 1.2.3.4"))
        assert sorted(queue.find("q", which).ids) == sorted(ids[one] for one in ("dead/1", "dead/2"))


class TestDetail:
    def test_attempts(self, queue: Store, clock: FakeClock) -> None:
        """Why each attempt failed, when and by whom; kept when the message is done, gone with it."""
        queue.put([Incoming("q", "t", b"", clock.wall())])
        [claim] = queue.claim("q", 1, lease=10)
        queue.settle([(claim, RetryLater(0, "refused", Cause.UNAVAILABLE))], worker="host/2")
        refused_at = clock.wall()
        queue.claim("q", 1, lease=10)
        clock.advance(10)
        [suspect] = queue.claim("q", 1, lease=60)
        detail = queue.detail("q", claim.message.id)
        assert detail is not None
        first, second = detail.attempts
        assert first == Attempt(1, refused_at, "unavailable", "refused", "host/2")
        assert (second.number, second.at, second.cause, second.worker) == (2, clock.wall(), "worker_died", "")
        queue.settle([(suspect, Done())])
        detail = queue.detail("q", claim.message.id)
        assert detail is not None
        assert (detail.head.state, len(detail.attempts)) == (State.DONE, 2)
        clock.advance(100_000)
        while queue.maintain(Retention()):
            pass
        assert queue.detail("q", claim.message.id) is None

    def test_many_attempts(self, queue: Store, clock: FakeClock) -> None:
        """The first 5 and the last 15 are kept, each with its number."""
        queue.put([Incoming("q", "t", b"", clock.wall())])
        for count in range(1, 31):
            queue.settle([(queue.claim("q", 1, lease=60)[0], RetryLater(0, f"reason {count}"))])
        [head] = queue.heads("q", Selection(State.ANY)).heads
        detail = queue.detail("q", head.id)
        assert detail is not None
        assert [one.number for one in detail.attempts] == [1, 2, 3, 4, 5, *range(16, 31)]
        assert [one.reason for one in detail.attempts][-1] == "reason 30"
        assert queue.stats("q").failed == 30

    def test_a_stale_settlement_leaves_no_attempt(self, queue: Store, clock: FakeClock) -> None:
        """Only the attempt of the one who holds the message counts."""
        queue.put([Incoming("q", "t", b"", clock.wall())])
        [old] = queue.claim("q", 1, lease=1)
        clock.advance(1)
        queue.claim("q", 1, lease=60)
        for outcome in (RetryLater(0, "late"), Dead("late")):
            assert queue.settle([(old, outcome)], worker="late") == [old]
        detail = queue.detail("q", old.message.id)
        assert detail is not None
        assert [one.cause for one in detail.attempts] == ["worker_died"]

    def test_properties(self, queue: Store, clock: FakeClock) -> None:
        """As they were published."""
        properties = Properties(content_type="text/plain", user_properties=(("a", "b"),))
        queue.put([Incoming("q", "t", b"x", clock.wall(), 1, True, properties)])
        [head] = queue.heads("q", Selection(State.ANY)).heads
        detail = queue.detail("q", head.id)
        assert detail is not None
        assert detail.properties == properties
        assert detail.head.retain

    @pytest.mark.parametrize("size", [0, 1, 100, 10_000])
    def test_the_first_of_many_properties(self, queue: Store, clock: FakeClock, size: int) -> None:
        """Only what is within these bytes is read; the rest is said to be there."""
        pairs = tuple((f"name {number}", '"],["') for number in range(1_000))
        properties = Properties(content_type="text/plain", user_properties=pairs)
        queue.put([Incoming("q", "t", b"x", clock.wall(), 1, False, properties)])
        [head] = queue.heads("q", Selection(State.ANY)).heads
        detail = queue.detail("q", head.id, property_bytes=size)
        assert detail is not None
        found = detail.properties.user_properties
        assert found == pairs[: len(found)]
        assert size // 50 <= len(found) <= size // 20
        assert (detail.properties.content_type == "text/plain") is bool(found)
        assert detail.has_more
        whole = queue.detail("q", head.id, property_bytes=1_000_000)
        assert whole is not None
        assert (whole.properties, whole.has_more) == (properties, False)

    def test_the_beginning_of_unreadable_properties(self, queue: Store, clock: FakeClock) -> None:
        """A listener keeps all their bytes; the first of them are shown. Without properties, none are left out."""
        raw = bytes(range(256)) * 100
        queue.put([Incoming("q", "t", b"x", clock.wall(), 1, False, Properties(raw=raw))])
        queue.put([Incoming("q", "t", b"x", clock.wall())])
        plain, odd = queue.heads("q", Selection(State.ANY)).heads
        detail = queue.detail("q", odd.id, property_bytes=1_000)
        assert detail is not None
        assert detail.has_more
        assert detail.properties.raw == raw[: len(detail.properties.raw or b"")]
        assert len(detail.properties.raw or b"") > 700
        detail = queue.detail("q", plain.id, property_bytes=0)
        assert detail is not None
        assert (detail.properties, detail.has_more) == (NO_PROPERTIES, False)


class TestPayload:
    @pytest.mark.parametrize("size", [0, 1, 300_000])
    def test_in_windows(self, queue: Store, clock: FakeClock, size: int) -> None:
        """Any window of a payload, also beyond its end."""
        payload = bytes(range(256)) * (size // 256 + 1)
        queue.put([Incoming("q", "t", payload[:size], clock.wall())])
        [head] = queue.heads("q", Selection(State.ANY)).heads
        assert head.size == size
        for offset, length in ((0, 200), (size // 2, 65_536), (max(0, size - 3), 10), (size + 5, 10)):
            assert queue.payload("q", head.id, offset, length) == payload[:size][offset : offset + length]
        assert queue.payload("q", head.id + 1, 0, 10) is None


class TestDeadGroups:
    def test_by_what_their_reasons_have_in_common(self, queue: Store, clock: FakeClock) -> None:
        """Count, first and last time and the last reason of each group; steps add up to all of them."""
        reasons = [
            "timed out after 30 s",
            "no column 'a'",
            "timed out after 12.5 s",
            "no column 'b'",
            "timed out after 1 s",
        ]
        for reason in reasons:
            queue.put([Incoming("q", "t", b"", clock.wall())])
            queue.settle([(queue.claim("q", 1, lease=60)[0], Dead(f"{reason}\n  at frame"))])
            clock.advance(10)
        step = queue.dead_groups("q")
        assert [(one.count, one.reason) for one in step.groups] == [(3, "timed out after 1 s"), (2, "no column 'b'")]
        assert step.groups[0].last_at - step.groups[0].first_at == pytest.approx(40)
        assert (step.looked_at, step.before) == (5, None)
        counts = 0
        before: str | None = None
        while True:
            step = queue.dead_groups("q", before=before, within=2)
            counts += sum(one.count for one in step.groups)
            before = step.before
            if before is None:
                break
        assert counts == len(reasons)


def test_retrying(queue: Store, ids: dict[str, int], clock: FakeClock) -> None:
    """Those that wait for a retry or for the end of a delay, up to a limit."""
    assert len(ids) == _TOTAL
    assert queue.retrying("q") == 2
    assert queue.retrying("q", most=1) == 1
    clock.advance(300)
    assert queue.retrying("q") == 1


def test_a_place_that_no_step_gave(queue: Store) -> None:
    """It is refused, as it may come from somebody's browser."""
    for place in ("x", "1,x", "x,1"):
        with pytest.raises(ValueError, match=r"could not convert|invalid literal"):
            queue.heads("q", Selection(State.ANY), before=place)


def test_when_the_last_message_came(queue: Store, clock: FakeClock) -> None:
    """By the order of arrival, whatever the clock said; among those that are still there."""
    assert queue.last_received_at("q") is None
    times = [clock.wall() + shift for shift in (0, 50, 20)]
    queue.put([Incoming("q", "t", b"", at) for at in times])
    assert queue.last_received_at("q") == times[-1]
    ids = [one.id for one in queue.heads("q", Selection(State.ANY)).heads]
    queue.delete_messages("q", ids[:1])
    assert queue.last_received_at("q") == times[1]
