"""Whatever comes in from outside is stored, refused or given up in order: never a crash, never a silent loss."""

import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fmq.errors import SettingsError
from fmq.message import NO_PROPERTIES, Incoming, Properties
from fmq.outcome import Dead, Done, Reject, Retry, RetryLater, batch_handler
from fmq.service.environment import load
from fmq.service.settings import Settings, variable
from fmq.store.backends import open_store
from fmq.store.options import StoreOptions
from fmq_listener.settings import ListenerSettings
from fmq_processor.settings import ProcessorSettings
from support.workbench import Workbench

_SLOW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)  # what UTF-8 can say, NUL and all
_NUMBERS = st.none() | st.integers(0, 2**32 - 1)
_PROPERTIES = st.builds(
    Properties,
    payload_format_indicator=st.none() | st.integers(0, 1),
    message_expiry_interval=_NUMBERS,
    content_type=st.none() | _TEXT,
    response_topic=st.none() | _TEXT,
    correlation_data=st.none() | st.binary(max_size=60),
    user_properties=st.lists(st.tuples(_TEXT, _TEXT), max_size=5).map(tuple),
    raw=st.none() | st.binary(max_size=60),
)
_MESSAGES = st.lists(st.tuples(_TEXT, _TEXT, st.binary(max_size=200), st.none() | _PROPERTIES), min_size=1, max_size=10)


@_SLOW
@given(_MESSAGES)
def test_every_name_topic_payload_and_property_comes_out_as_it_went_in(
    messages: list[tuple[str, str, bytes, Properties | None]],
) -> None:
    """Names that look like SQL, quotes, NUL, any language: each queue gives back its own messages, unchanged."""
    with (
        TemporaryDirectory() as folder,
        open_store(f"sqlite:///{folder}/q.db", StoreOptions(check_integrity=False)) as queue,
    ):
        names = list(dict.fromkeys(name for name, *_ in messages))
        for name in names:
            queue.declare(name)
        queue.put([Incoming(name, topic, payload, 1.0, properties=known) for name, topic, payload, known in messages])
        assert sorted(queue.names()) == sorted(names)
        for name in names:
            wanted = [
                (topic, payload, known or NO_PROPERTIES) for other, topic, payload, known in messages if other == name
            ]
            claims = queue.claim(name, len(messages), lease=60)
            assert [(one.message.topic, one.message.payload, one.message.properties) for one in claims] == wanted
            assert not queue.settle([(one, Done()) for one in claims])


@pytest.mark.parametrize("model", [ListenerSettings, ProcessorSettings])
@_SLOW
@given(data=st.data())
def test_whatever_a_setting_is_given_it_is_taken_or_refused_in_words(
    model: type[Settings], data: st.DataObject
) -> None:
    """Any text in any variable: settings, or one error that names the variable; the password is never in it."""
    fields = data.draw(st.lists(st.sampled_from(sorted(model.model_fields)), min_size=1, unique=True))
    values = st.text(max_size=40) | st.sampled_from(
        ["-1", "nan", "inf", "1e999", "0", "99999999999999999999", "a,,b", "#/#"]
    )
    environ = {variable(name): data.draw(values, label=name) for name in fields} | {
        "FMQ_BROKER_PASSWORD": "hunter2hunter2"
    }
    told = _refusal(model, environ)
    assert not told or "Invalid settings" in told
    assert "hunter2" not in told


def _refusal(model: type[Settings], environ: dict[str, str]) -> str:
    try:
        load(model, {}, environ)
    except SettingsError as error:
        return str(error)
    return ""


class _Unspeakable:
    """A result that can't be shown, compared or told apart from true."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __bool__(self) -> bool:
        raise RuntimeError("no bool")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no eq")

    __hash__ = None  # type: ignore[assignment]


class _Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no str")


_RETURNED = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        "",
        b"\xff",
        [],
        {},
        math.nan,
        Done(),
        Dead("\ud800"),
        RetryLater(math.nan),
        _Unspeakable(),
        object(),
    ]
)
_RAISED = st.sampled_from(
    [
        ValueError("x" * 100_000),
        Retry(after=math.inf),
        Retry(after=-5),
        Retry(after="soon"),  # type: ignore[arg-type]
        Reject("\x00\ud800"),
        Reject(None),  # type: ignore[arg-type]
        SystemExit(3),
        KeyboardInterrupt(),
        _Mute(),
        RecursionError(),
        MemoryError(),
        StopIteration(),
    ]
)


def _act(result: object) -> object:
    if isinstance(result, BaseException):
        raise result
    return result


@pytest.mark.parametrize("in_batches", [False, True])
@_SLOW
@given(results=st.lists(_RETURNED | _RAISED, min_size=1, max_size=6))
def test_whatever_a_handler_returns_or_raises_its_message_is_done_or_dead(
    *, in_batches: bool, results: list[object]
) -> None:
    """The worker goes on, and in the end every message is settled: none is lost, none stays claimed."""
    left = list(results)

    def handle(_: object) -> object:
        return _act(left.pop(0)) if left else None

    chosen: Callable[[object], object] = batch_handler(handle) if in_batches else handle
    with TemporaryDirectory() as folder, Workbench(Path(folder), chosen, max_retries=1, batch=3) as bench:
        bench.put(*(b"%d" % number for number in range(len(results))))

        def settled() -> bool:
            bench.clock.advance(400)  # beyond every backoff
            return bench.stats().done + bench.stats().dead == len(results)

        bench.turn_until(settled, what="every message to be settled")
        assert bench.stats().claimed == 0
