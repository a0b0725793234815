"""Payloads as values: right ones, wrong ones, and ones made to do harm."""

import gzip
import json
import sys
import time
import zlib
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmq.message import Message, Properties
from fmq_processor.prepare.decoding import Undecodable, make_decoder

MOST = 100_000
zipped = partial(gzip.compress, mtime=0)  # the same bytes at every start, or the tests' names would differ
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def decoded(spec: str, payload: bytes, most_bytes: int = MOST, **properties: Any) -> Any:  # noqa: ANN401
    decode = make_decoder(spec, most_bytes=most_bytes)
    assert decode is not None
    return decode(Message(1, "q", "t", payload, 0.0, properties=Properties(**properties)))


def outcome(spec: str, payload: bytes, **properties: Any) -> str:  # noqa: ANN401
    """What was wrong, or a word that nothing was."""
    try:
        decoded(spec, payload, **properties)
    except Undecodable as error:
        return str(error)
    return "decoded"


def undecodable(spec: str, payload: bytes, most_bytes: int = MOST, **properties: Any) -> str:  # noqa: ANN401
    with pytest.raises(Undecodable) as caught:
        decoded(spec, payload, most_bytes, **properties)
    return str(caught.value)


@given(_JSON)
def test_what_was_encoded_comes_out(value: object) -> None:
    """Through every chain of steps."""
    text = json.dumps(value).encode()
    packed = msgpack.packb(value)
    assert decoded("json", text) == decoded("gzip,json", zipped(text)) == value
    assert decoded("zlib, json", zlib.compress(text)) == decoded("zlib,gzip,json", zlib.compress(zipped(text))) == value
    assert decoded("msgpack", packed) == decoded("gzip,msgpack", zipped(packed)) == value
    assert decoded("text", text) == text.decode()
    assert decoded("gzip", zipped(packed)) == packed


@pytest.mark.parametrize("spec", ["json", "msgpack", "text", "gzip", "zlib", "gzip,json", "gzip,msgpack", "zlib,text"])
@given(payload=st.binary(max_size=200))
def test_any_bytes_are_a_value_or_undecodable(spec: str, payload: bytes) -> None:
    """Nothing else ever comes out of a decoder: another exception would be tried repeatedly."""
    packed = zipped(payload) if spec.startswith("gzip,") else zlib.compress(payload)
    for given_ in (payload, packed):
        told = outcome(spec, given_)
        assert 0 < len(told) < 500


@given(payload=st.binary(max_size=50), content_type=st.text(max_size=60), encoding=st.text(max_size=20))
def test_any_content_type_is_a_value_or_undecodable(payload: bytes, content_type: str, encoding: str) -> None:
    """Publishers write these too."""
    for name in (content_type, f"text/plain; charset={content_type}", f"text/plain; charset*={content_type}"):
        for user in ((), (("content-encoding", encoding),)):
            told = outcome("auto", payload, content_type=name, user_properties=user)
            assert 0 < len(told) < 500


@pytest.mark.parametrize(
    ("content_type", "payload", "value"),
    [
        ("application/json", b"[1]", [1]),
        ("Application/JSON; charset=utf-8", b"[1]", [1]),
        ("application/cloudevents+json", b"{}", {}),
        ("application/senml+json", b"[]", []),
        ("text/json", b"1", 1),
        ("application/msgpack", b"\x93\x01\x02\x03", [1, 2, 3]),
        ("application/x-msgpack", b"\x01", 1),
        ("application/vnd.msgpack", b"\x01", 1),
        ("application/gzip", zipped(b"x"), b"x"),
        ("text/plain", "ä".encode(), "ä"),
        ("text/plain; charset=iso-8859-1", b"\xe4", "ä"),
        ('text/plain; charset="WINDOWS-1252"', b"\x80", "€"),
        ("application/octet-stream", b"[1]", b"[1]"),
        ("image/png", b"\x89", b"\x89"),
        ("nonsense", b"[1]", b"[1]"),
        ("", b"[1]", b"[1]"),
        (None, b"[1]", b"[1]"),
    ],
)
def test_auto_goes_by_the_content_type(content_type: str | None, payload: bytes, value: object) -> None:
    """What says nothing of its form stays bytes."""
    assert decoded("auto", payload, content_type=content_type) == value


def test_auto_goes_by_the_other_properties_too() -> None:
    """The payload format indicator says UTF-8; the user property content-encoding is HTTP's."""
    assert decoded("auto", "ä".encode(), payload_format_indicator=1) == "ä"
    assert decoded("auto", b"\xff", payload_format_indicator=0) == b"\xff"
    for encoding, pack in (
        ("gzip", zipped),
        ("GZIP", zipped),
        ("deflate", zlib.compress),
        ("identity", bytes),
    ):
        user = (("content-encoding", encoding),)
        assert decoded("auto", pack(b"[1]"), content_type="application/json", user_properties=user) == [1]
    assert "'br' is unknown" in undecodable("auto", b"x", user_properties=(("content-encoding", "br"),))
    assert "'idna' is not supported" in undecodable("auto", b"x", content_type="text/plain; charset=idna")


@pytest.mark.parametrize(
    ("spec", "payload", "told"),
    [
        ("json", b"", "not decoded as json: Expecting value"),
        ("json", b"{", "not decoded as json"),
        ("json", b"[NaN]", "NaN is not JSON"),
        ("json", b"-Infinity", "-Infinity is not JSON"),
        ("json", b"\xff", "not decoded as json: 'utf-8' codec"),
        ("json", b"[1] x", "Extra data"),
        ("json", b"9" * 5_000, "not decoded as json"),
        ("json", b"[" * 50_000, "nested too deep"),
        ("json", b'{"a":' * 20_000, "nested too deep"),
        ("text", b"\xff", "not decoded as text"),
        ("gzip", b"", "not decoded as gzip"),
        ("gzip", b"plain", "not decoded as gzip"),
        ("gzip", zipped(b"x" * 1_000)[:-9], "not decoded as gzip"),
        ("gzip", zipped(b"x")[:-8] + b"\0" * 8, "not decoded as gzip"),
        ("zlib", zlib.compress(b"x" * 1_000)[:-1], "cut short"),
        ("zlib", zlib.compress(b"x") + b"y", "data follows its end"),
        ("gzip,json", zipped(b"{"), "not decoded as json"),
        ("msgpack", b"", "not decoded as msgpack"),
        ("msgpack", b"\x01\x02", "not decoded as msgpack"),
        ("msgpack", b"\xc1", "not decoded as msgpack"),
        ("msgpack", b"\x81\x01\x01", "not decoded as msgpack"),  # a number as a key
        ("msgpack", b"\xa1\xff", "not decoded as msgpack"),
        ("msgpack", b"\x91" * 5_000 + b"\x01", "not decoded as msgpack"),
        ("msgpack", b"\xdd\xff\xff\xff\xff", "not decoded as msgpack"),  # an array of 4,294,967,295
        ("msgpack", b"\xdf\xff\xff\xff\xff", "not decoded as msgpack"),
        ("msgpack", b"\xdb\xff\xff\xff\xff", "not decoded as msgpack"),
        ("msgpack", b"\xd8\xff" + b"\xff" * 16, "not decoded as msgpack"),
        ("msgpack", b"\xc7\x0c\xff" + b"\xff" * 12, "not decoded as msgpack"),  # a time that is none
        ("msgpack", b"\xc7\x0c\xff" + b"\0" * 4 + b"\x3f" + b"\xff" * 7, "not decoded as msgpack"),  # one too far off
    ],
)
def test_wrong_payloads_are_told(spec: str, payload: bytes, told: str) -> None:
    """With the step that failed and why."""
    assert told in undecodable(spec, payload)


def test_a_time_is_a_datetime() -> None:
    """MessagePack has a type of its own for it."""
    moment = datetime(2026, 11, 24, tzinfo=UTC)
    assert decoded("msgpack", msgpack.packb({"at": moment}, datetime=True)) == {"at": moment}


@pytest.mark.parametrize("spec", ["json", "text", "msgpack", "gzip", "zlib"])
def test_a_payload_above_the_limit_is_not_decoded(spec: str) -> None:
    """Its size is known without looking into it."""
    assert "it has 101 bytes; the maximum is 100" in undecodable(spec, b"1" * 101, 100)


@pytest.mark.parametrize(("spec", "pack"), [("gzip", zipped), ("zlib", zlib.compress)])
def test_a_bomb_is_stopped_at_the_limit(spec: str, pack: Any) -> None:  # noqa: ANN401
    """A megabyte that unpacks to a gigabyte costs no more than the limit; one byte less than the limit is fine."""
    assert decoded(spec, pack(b"x" * MOST)) == b"x" * MOST
    assert "more than the maximum of 100000 bytes" in undecodable(spec, pack(b"x" * (MOST + 1)))
    bomb = pack(b"\0" * (64 << 20))
    assert len(bomb) < MOST
    before = _peak()
    assert "more than the maximum of 100000 bytes" in undecodable(spec, bomb)
    assert _peak() - before < 8 << 20


def _peak() -> int:
    """The most memory that this process has had resident, in bytes."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no file to name by a path
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def test_many_empty_members_take_no_time_that_grows_with_the_square() -> None:
    """Gzip allows any number of members: 50,000 empty ones are read in a second or so."""
    began = time.process_time()
    assert decoded("gzip", zipped(b"") * 50_000, 2_000_000) == b""
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "spec", ["", "jsonn", "json,gzip", "json,json", "text,json", "gzip,", "auto,json", "none,json"]
)
def test_wrong_names_are_refused(spec: str) -> None:
    """At the start, not at the first message."""
    with pytest.raises(ValueError, match=r"is not a decoder|needs bytes"):
        make_decoder(spec, most_bytes=MOST)


def test_none_decodes_nothing() -> None:
    """So that it costs nothing."""
    assert make_decoder("none", most_bytes=MOST) is None


def test_the_recursion_limit_is_left_alone() -> None:
    """And a nest that fits it is read."""
    before = sys.getrecursionlimit()
    nest: object = []
    for _ in range(300):
        nest = [nest]
    assert decoded("json", json.dumps(nest).encode()) == nest
    assert sys.getrecursionlimit() == before
