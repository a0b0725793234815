"""Messages, one message, and payloads."""

from contextlib import suppress
from http import HTTPStatus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fmq.message import Incoming
from fmq.outcome import Cause, RetryLater
from fmq.store.selection import Selection, State
from fmq_web.answers.messages import MessagePage
from fmq_web.http.problems import Problem
from fmq_web.views.cursors import cursor
from fmq_web.views.message import message_view
from fmq_web.views.messages import MOST, message_page
from fmq_web.views.payload import WINDOW, piece, pieces, window
from support.web.filled import EMPTY, QUEUE, Filled

ANY = Selection(State.ANY)


def put(filled: Filled, payload: bytes, topic: str = "t") -> str:
    """A message in EMPTY. Returns its id."""
    filled.store.put([Incoming(EMPTY, topic, payload, filled.clock.wall())])
    return str(max(filled.backend.ids(EMPTY)))


def refused(page: object) -> Problem:
    assert callable(page)
    with pytest.raises(Problem) as caught:
        page()
    return caught.value


class TestPage:
    def test_newest_first(self, filled: Filled) -> None:
        """Each message with its state, its times and the first bytes of its payload."""
        page = message_page(filled.store, QUEUE, ANY)
        assert [one.id for one in page.messages] == sorted(
            (str(one) for one in filled.ids.values()), key=int, reverse=True
        )
        assert (page.looked_at, page.total, page.before) == (8, 8, None)
        by_id = {one.id: one for one in page.messages}
        dead = by_id[str(filled.ids["dead1"])]
        assert (dead.state, dead.head, dead.head_is_binary) == ("dead", '{"from": "dead1"}', False)
        assert (dead.reason, by_id[str(filled.ids["retry"])].retries) == ("no route to 10.0.0.1", 1)
        assert by_id[str(filled.ids["retry"])].due_in == pytest.approx(300)
        assert by_id[str(filled.ids["claimed"])].lease_seconds == pytest.approx(60)

    @pytest.mark.parametrize(
        ("state", "total"),
        [(State.ANY, 8), (State.PENDING, 3), (State.DELAYED, 2), (State.CLAIMED, 1), (State.DONE, 1), (State.DEAD, 3)],
    )
    def test_totals(self, filled: Filled, state: State, total: int) -> None:
        """Those of the whole state, whatever else is asked for."""
        assert message_page(filled.store, QUEUE, Selection(state)).total == total
        assert message_page(filled.store, QUEUE, Selection(state, topic="nowhere")).total == total

    @pytest.mark.parametrize("state", [State.ANY, State.PENDING, State.DEAD])
    def test_steps(self, filled: Filled, state: State) -> None:
        """One by one, they are the same as at once."""
        whole = [one.id for one in message_page(filled.store, QUEUE, Selection(state)).messages]
        found: list[str] = []
        before: str | None = None
        while True:
            page = message_page(filled.store, QUEUE, Selection(state), before=before, limit=1)
            found += [one.id for one in page.messages]
            before = page.before
            if before is None:
                break
        assert found == whole

    def test_a_limit(self, filled: Filled) -> None:
        filled.store.put([Incoming(EMPTY, "t", b"", filled.clock.wall())] * (MOST + 1))
        assert len(message_page(filled.store, EMPTY, ANY, limit=10 * MOST).messages) == MOST

    def test_text(self, filled: Filled) -> None:
        """In the payload or in the topic."""
        found = message_page(filled.store, QUEUE, ANY, text='"done"')
        assert [one.id for one in found.messages] == [str(filled.ids["done"])]
        assert found.looked_at == 8

    def test_no_such_queue(self, filled: Filled) -> None:
        for name in ("nowhere", "\ud800", ""):
            assert refused(lambda name=name: message_page(filled.store, name, ANY)).status == HTTPStatus.NOT_FOUND


class TestCursors:
    def test_of_another_list(self, filled: Filled) -> None:
        """A cursor goes with its query: another queue, state or filter refuses it."""
        before = message_page(filled.store, QUEUE, ANY, limit=1).before
        assert before is not None

        def page(name: str, which: Selection, text: str | None = None) -> MessagePage:
            return message_page(filled.store, name, which, text=text, before=before)

        assert page(QUEUE, ANY).messages
        for name, which, text in (
            (EMPTY, ANY, None),
            (QUEUE, Selection(State.DEAD), None),
            (QUEUE, Selection(State.ANY, topic="#"), None),
            (QUEUE, Selection(State.ANY, since=1.0), None),
            (QUEUE, ANY, "x"),
        ):
            with pytest.raises(Problem) as caught:
                page(name, which, text)
            assert caught.value.status == HTTPStatus.UNPROCESSABLE_ENTITY

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(text=st.text(max_size=40))
    def test_invented(self, filled: Filled, text: str) -> None:
        """Whatever is sent, the problem says what is wrong."""
        problem = refused(lambda: message_page(filled.store, QUEUE, ANY, before=text))
        assert problem.status == HTTPStatus.UNPROCESSABLE_ENTITY

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        place=st.text("0123456789,-.einfa", max_size=30)
        | st.sampled_from([f",{2**63}", "1e999,1", "nan,1", "x,1", "1", ",", ",1_0\u0663"]),
        state=st.sampled_from([State.ANY, State.DEAD, State.PENDING]),
    )
    def test_made_by_hand(self, filled: Filled, place: str, state: State) -> None:
        """One with the right check sum gets an answer, or the same problem: never an error."""
        before = cursor(place, QUEUE, state.value, None, None, None, None, None, None)
        with suppress(Problem):
            message_page(filled.store, QUEUE, Selection(state), before=before)


class TestMessage:
    def life(self, filled: Filled, name: str) -> list[tuple[str, str]]:
        view = message_view(filled.store, filled.clock, QUEUE, str(filled.ids[name]))
        return [(one.what, one.text) for one in view.life]

    def test_life(self, filled: Filled) -> None:
        """From its receipt to its end, or to what comes next."""
        received = ("received", "Received with 16 bytes, QoS 1")
        assert self.life(filled, "done") == [received, ("handled", "Handled")]
        assert self.life(filled, "dead1") == [
            ("received", "Received with 17 bytes, QoS 1"),
            ("tried", "Attempt 1 by host/7 failed: no route to 10.0.0.1"),
            ("dead", "Moved to dead letters: no route to 10.0.0.1"),
        ]
        assert self.life(filled, "retry")[1:] == [
            ("tried", "Attempt 1 by host/7 failed: refused"),
            ("delayed", "Due in 5 min"),
        ]
        assert self.life(filled, "claimed")[1:] == [("lent", "Lent to a processor; its lease ends in 1 min")]
        assert self.life(filled, "delayed")[1:] == [("delayed", "Due in 9 min")]
        assert self.life(filled, "new")[1:] == []
        filled.clock.advance(70)
        assert self.life(filled, "claimed")[1:] == [("lent", "Lent to a processor whose lease ran out 10 s ago")]

    def test_attempts_that_are_not_kept(self, filled: Filled) -> None:
        """The store keeps the first and the last ones: the gap is named."""
        number = put(filled, b"")
        for _ in range(30):
            [claim] = filled.store.claim(EMPTY, 1, lease=60)
            filled.store.settle([(claim, RetryLater(0, "refused", Cause.UNAVAILABLE))])
        texts = [one.text for one in message_view(filled.store, filled.clock, EMPTY, number).life]
        assert texts[5:8] == [
            "Attempt 5 failed: refused",
            "Attempts 6 to 15 are not kept",
            "Attempt 16 failed: refused",
        ]

    def test_properties(self, filled: Filled) -> None:
        """In the order of the protocol; bytes as hexadecimal numbers; nothing that could not be encoded or seen."""
        view = message_view(filled.store, filled.clock, QUEUE, str(filled.ids["new"]))
        assert [(one.name, one.value, one.user) for one in view.properties] == [
            ("content_type", "text/\\u202eplain", False),
            ("correlation_data", "00 ff", False),
            ("<b>", "\\ud800", True),
            ("a", "b", True),
        ]
        view.model_dump_json()

    @pytest.mark.parametrize("number", ["0", "999", "-1", "1.0", "x", "", "9" * 19, "9" * 400, "\u0661", " 1"])
    def test_no_such_message(self, filled: Filled, number: str) -> None:
        problem = refused(lambda: message_view(filled.store, filled.clock, QUEUE, number))
        assert problem.status == HTTPStatus.NOT_FOUND


class TestPayload:
    @pytest.mark.parametrize(
        ("payload", "kind", "text"),
        [
            (b'{"a":[1e400]}', "json", '{\n  "a": [\n    1e400\n  ]\n}'),
            (b"21.50", "json", "21.50"),
            (b"a\n\tb\x1b", "text", "a\n\tb\\x1b"),
            ("\u202e".encode(), "text", "\\u202e"),
            (b"", "text", ""),
            (b"\xff", "hex", "00000000  ff" + " " * 48 + "|.|"),
            (b"{" * 100, "text", "{" * 100),
        ],
    )
    def test_kinds(self, filled: Filled, payload: bytes, kind: str, text: str) -> None:
        seen = window(filled.store, EMPTY, put(filled, payload))
        assert (seen.kind, seen.text, seen.size, seen.length) == (kind, text, len(payload), len(payload))

    @pytest.mark.parametrize("length", [4, 5, 7, 64, WINDOW])
    def test_windows_follow_each_other(self, filled: Filled, length: int) -> None:
        """Whatever their length, no byte is left out between them, and no character is cut."""
        text = "aé€😀" * 20
        number = put(filled, text.encode())
        offset, shown = 0, ""
        while offset < len(text.encode()):
            seen = window(filled.store, EMPTY, number, offset, length)
            assert seen.offset == offset
            assert 0 < seen.length <= length
            offset += seen.length
            shown += seen.text
            assert seen.kind == "text"
        assert shown == text

    def test_within_a_character(self, filled: Filled) -> None:
        """A window that starts there begins with the next one, and says so."""
        number = put(filled, "😀ab".encode())
        seen = window(filled.store, EMPTY, number, 1)
        assert (seen.offset, seen.length, seen.kind, seen.text) == (4, 2, "text", "ab")

    def test_beyond_the_end(self, filled: Filled) -> None:
        number = put(filled, b"ab")
        seen = window(filled.store, EMPTY, number, 2**63 - 1)
        assert (seen.offset, seen.length, seen.text) == (2, 0, "")

    def test_a_large_one(self, filled: Filled) -> None:
        """A window is 64 KiB at most, and a part of JSON is text. The pieces are the whole."""
        payload = b'["' + bytes(range(0x20, 0x7F)).replace(b'"', b"") * 2_000 + b'"]'
        number = put(filled, payload)
        seen = window(filled.store, EMPTY, number, 0, 10 * WINDOW)
        assert (seen.length, seen.kind) == (WINDOW, "text")
        whole = b"".join(piece(filled.store, EMPTY, number, *one) for one in pieces(len(payload)))
        assert whole == payload
        assert message_page(filled.store, EMPTY, ANY).messages[0].size == len(payload)

    def test_a_head_that_is_cut(self, filled: Filled) -> None:
        """A payload is not binary because its head ends within a character; one that is, shows its bytes."""
        put(filled, b"a" * 199 + "😀".encode())
        put(filled, b"\xff\x00")
        binary, text = message_page(filled.store, EMPTY, ANY).messages
        assert (text.head, text.head_is_binary) == ("a" * 199, False)
        assert (binary.head, binary.head_is_binary) == ("ff 00", True)


def test_hidden_contents(filled: Filled) -> None:
    """With FMQ_WEB_SHOW_PAYLOADS=false nothing tells what is in a message, a search least of all; topics and reasons stay."""
    page = message_page(filled.store, QUEUE, ANY, contents=False)
    assert {(one.head, one.head_is_binary) for one in page.messages} == {("", False)}
    view = message_view(filled.store, filled.clock, QUEUE, str(filled.ids["dead1"]), contents=False)
    assert (view.properties, view.head.head) == ([], "")
    assert view.head.reason == "no route to 10.0.0.1\nTraceback"
    assert '"from"' not in page.model_dump_json() + view.model_dump_json()
    for asked in (
        lambda: message_page(filled.store, QUEUE, ANY, text="from", contents=False),
        lambda: window(filled.store, QUEUE, str(filled.ids["done"]), contents=False),
    ):
        assert refused(asked).status == HTTPStatus.FORBIDDEN
