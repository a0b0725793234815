"""`fmq export` and `fmq import` between the kinds of stores: nothing is lost, changed or doubled."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fmq.cli.main import fmq_command
from fmq.errors import FmqError
from fmq.message import Incoming, Message, Properties
from fmq.outcome import Dead
from fmq.store.backends import open_store
from fmq.store.records import Attempt, StoredMessage
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from support.backends import BACKENDS, EACH_STORE

_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
_TIME = st.integers(1_600_000_000, 1_900_000_000).map(float)
_ATTEMPT = st.tuples(_TIME, st.sampled_from(["timeout", "exception"]), _TEXT, _TEXT)
_PROPERTIES = st.builds(
    Properties,
    payload_format_indicator=st.none() | st.integers(0, 1),
    message_expiry_interval=st.none() | st.integers(0, 2**32 - 1),
    content_type=st.none() | st.text(max_size=5),
    response_topic=st.none() | _TEXT,
    correlation_data=st.none() | st.binary(max_size=5),
    user_properties=st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=3).map(tuple),
)


@st.composite
def stored_messages(draw: st.DrawFn) -> StoredMessage:
    """Any message that a store may have, in any state but claimed."""
    state = draw(st.sampled_from([State.PENDING, State.DONE, State.DEAD]))
    payload = draw(st.binary(max_size=30) | _TEXT.map(str.encode))
    message = Message(
        draw(st.integers(1, 99)),
        "q",
        draw(_TEXT),
        payload,
        draw(st.floats(0, 2_000_000_000)),
        draw(st.integers(0, 2)),
        draw(st.booleans()),
        draw(st.integers(0, 2**31 - 1)),
        draw(_PROPERTIES),
    )
    attempts = tuple(Attempt(n, *each) for n, each in enumerate(draw(st.lists(_ATTEMPT, max_size=3)), 1))
    if state is State.PENDING:
        return StoredMessage(message, state, draw(_TIME), draw(_TIME), None, draw(_TEXT), attempts)
    reason = draw(_TEXT) if state is State.DEAD else ""
    return StoredMessage(message, state, settled_at=draw(_TIME), reason=reason, attempts=attempts)


def run(url: str, *words: str, stdin: bytes | str = "") -> Result:
    """What a command answers; raises fmq's own errors."""
    result = CliRunner().invoke(fmq_command, [*words, "--queue-url", url], input=stdin, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result


@pytest.fixture
def url(tmp_path: Path) -> Callable[[str], str]:
    """The URL of a new store of a kind."""
    numbers = count()

    def make(kind: str) -> str:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return BACKENDS[kind](folder).url

    return make


@pytest.fixture(params=EACH_STORE)
def target(request: pytest.FixtureRequest, url: Callable[[str], str]) -> str:
    return url(str(request.param))


@pytest.fixture
def source(url: Callable[[str], str]) -> str:
    """A store with three pending messages and a dead one."""
    found = url("sqlite")
    with open_store(found) as store:
        store.declare("q")
        store.put([Incoming("q", "t", b"%d" % n, 100.0 + n) for n in range(4)])
        (claim,) = store.claim("q", 1, lease=60)
        store.settle([(claim, Dead("why"))])
    return found


def lines_of(url: str, name: str) -> list[dict[str, Any]]:
    """What an export says of the messages of a queue, without what is another in each store."""
    exported = run(url, "export", name, "--state", "any").stdout_bytes.splitlines()
    found = [json.loads(line) for line in exported]
    for one in found:
        assert one.pop("id")
        assert one.pop("store")
        for time in {"stored_at", "due_at", "done_at", "dead_at"}.intersection(one):
            one[time] = round(one[time])  # SQLite keeps them in its own time, and reads two clocks to convert them
    return found


@pytest.mark.postgres
def test_there_and_back(url: Callable[[str], str]) -> None:
    """Any message goes from SQLite to a file, to PostgreSQL, to a file and back to SQLite, and is the same everywhere."""
    with ExitStack() as opened:
        urls = [url("sqlite"), url("postgresql"), url("sqlite")]
        first = opened.enter_context(open_store(urls[0]))
        names = (f"q/{number}" for number in count())

        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(stored_messages(), min_size=1, max_size=8))
        def check(messages: list[StoredMessage]) -> None:
            name = next(names)
            _place(first, name, messages)
            expected = lines_of(urls[0], name)
            assert len(expected) == len(messages)
            for before, after in pairwise(urls):
                exported = run(before, "export", name, "--state", "any", "--checked").stdout_bytes
                assert f"stored {len(messages)} message" in run(after, "import", "-", stdin=exported).stdout
                assert lines_of(after, name) == expected

        check()


def _place(store: Store, name: str, messages: list[StoredMessage]) -> None:
    store.declare(name)
    store.place(
        [
            StoredMessage(
                one.message._replace(queue=name),
                one.state,
                one.stored_at,
                one.due_at,
                one.settled_at,
                one.reason,
                one.attempts,
            )
            for one in messages
        ]
    )


def test_imported_twice(source: str, target: str) -> None:
    """Each message is stored once, and the output counts what is skipped; without memory, or as another queue, it is stored again."""
    exported = run(source, "export", "--all-queues", "--state", "any").stdout_bytes
    assert run(target, "import", "-", stdin=exported).stdout.endswith("stored 4 messages\n")
    assert run(target, "import", "-", stdin=exported).stdout == (
        "stored 0 messages of q; skipped 4 that were imported before\n"
        "stored 0 messages; skipped 4 that were imported before\n"
    )
    assert run(target, "import", "-", "--queue", "p", stdin=exported).stdout.endswith("stored 4 messages\n")
    assert run(target, "import", "-", "--remember", "0", stdin=exported).stdout.endswith("stored 4 messages\n")
    with open_store(target) as store:
        assert (store.stats("q").pending, store.stats("q").dead, store.stats("p").pending) == (6, 2, 3)
        assert [one.kind for one in store.actions()] == ["import"] * 4


def test_stopped_on_its_way(source: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends early has stored whole batches; the next one stores the rest."""
    exported = run(source, "export", "q", "--state", "any").stdout_bytes
    monkeypatch.setattr("fmq.cli.moving.importing._PUT", 2)
    part = b"".join(exported.splitlines(keepends=True)[:2])
    run(target, "import", "-", stdin=part)
    assert "stored 2 messages; skipped 2" in run(target, "import", "-", stdin=exported).stdout


def test_lines_without_a_store(target: str) -> None:
    """Of another program, and the same twice in a file: both are stored, and known again in the same file."""
    line = b'{"queue":"q","topic":"t","payload":"x","received_at":1,"qos":1,"retain":false}\n'
    assert "stored 2 messages" in run(target, "import", "-", stdin=line * 2).stdout
    assert "stored 0 messages; skipped 2" in run(target, "import", "-", stdin=line * 2).stdout


def test_lines_without_a_state(target: str) -> None:
    """Of the web page or the handler ``file``: dead letters stay dead; other messages are pending, with all their retries."""
    one = {"queue": "q", "topic": "t", "payload": "x", "received_at": 1, "qos": 1, "retain": False, "retry_count": 3}
    lines = [json.dumps(fields) for fields in (one, {**one, "dead_at": 9.0, "reason": "why"})]
    run(target, "import", "-", stdin="\n".join(lines))
    with open_store(target) as store:
        pending, dead = store.stored("q", store.find("q", Selection(State.ANY)).ids)
    assert (pending.state, pending.message.retry_count) == (State.PENDING, 0)
    assert (dead.state, dead.message.retry_count, dead.reason) == (State.DEAD, 3, "why")
    assert dead.settled_at == pytest.approx(9.0)


def test_as_new(source: str, target: str) -> None:
    """Dead letters become pending, with all their retries."""
    exported = run(source, "export", "q", "--state", "dead").stdout_bytes
    run(target, "import", "-", "--as-new", stdin=exported)
    with open_store(target) as store:
        (one,) = store.stored("q", store.find("q", Selection(State.PENDING)).ids)
        assert (one.message.retry_count, one.reason, one.attempts) == (0, "", [])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda lines: lines[:-1], "After line 5: the file is truncated"),
        (lambda lines: [*lines[:-1], lines[-1][:20]], "Line 6 is not an exported message"),
        (lambda lines: [*lines[:2], lines[2][:30]], "Line 3 is not an exported message"),
        (lambda lines: [*lines[:2], *lines[3:]], "Line 5 is not an exported message: 3 messages since"),
        (lambda lines: [line.replace(b'"topic":"t"', b'"topic":"u"') for line in lines], "Line 6 .* was changed"),
        (lambda lines: lines[1:], "Line 5 .*the line is missing that begins"),
        (lambda lines: [lines[0].replace(b"1", b"2"), *lines[1:]], "Line 1 .* format 2: this fmq reads format 1"),
        (lambda lines: [lines[0], *lines], "Line 2 .* the file is truncated"),
    ],
)
def test_damage(
    source: str, url: Callable[[str], str], damage: Callable[[list[bytes]], list[bytes]], told: str
) -> None:
    """A file that is cut anywhere, or changed, is refused at its line, and nothing is stored."""
    lines = run(source, "export", "q", "--state", "any", "--checked").stdout_bytes.splitlines(keepends=True)
    assert len(lines) == 6
    target = url("sqlite")
    with pytest.raises(FmqError, match=f"(?s)Nothing was stored.*{told}"):
        run(target, "import", "-", stdin=b"".join(damage(lines)))
    assert not Path(target.removeprefix("sqlite:///")).exists()


def test_two_files_in_one(source: str, target: str) -> None:
    """Concatenated exports are one import."""
    exported = run(source, "export", "q", "--state", "any", "--checked").stdout_bytes
    assert "stored 4 messages; skipped 4" in run(target, "import", "-", stdin=exported * 2).stdout
