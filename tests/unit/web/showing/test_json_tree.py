"""JSON is shown as it was written."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmq_web.showing.json_tree import DEEPEST, LONGEST, MOST, Line, json_lines

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)
_NEARLY = st.text(st.sampled_from('{}[]",:\\u0019eE+-. \ttruefalsn'), max_size=20)


def shown(text: str) -> str | None:
    lines = json_lines(text)
    return None if lines is None else "\n".join(map(str, lines))


def exact(text: str) -> object:
    """The value with its numbers as they are written, and each object as its pairs."""
    return json.loads(text, parse_float=lambda one: ("number", one), parse_int=lambda one: ("number", one),
                      parse_constant=_refuse, object_pairs_hook=lambda pairs: ("object", pairs))  # fmt: skip


def _refuse(name: str) -> object:
    raise ValueError(name)


@given(value=_VALUES, indent=st.sampled_from([None, 1, 4]), ascii_only=st.booleans())
def test_it_says_the_same(value: object, indent: int | None, *, ascii_only: bool) -> None:
    """The indented text has the same values, in the same order, each number digit by digit; it is indented as json.dumps does."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found = shown(text)
    assert found is not None
    assert exact(found) == exact(text)
    if ascii_only:
        assert found == json.dumps(value, indent=2).replace("\x7f", "\\u007f")


@given(text=_NEARLY | st.text(max_size=20))
def test_it_accepts_what_is_json(text: str) -> None:
    """Exactly what RFC 8259 calls JSON, as Python's reader does without NaN and Infinity."""
    try:
        exact(text)
    except ValueError:
        assert json_lines(text) is None
    else:
        assert json_lines(text) is not None


@pytest.mark.parametrize("number", ["1e400", "-0", "0.1000", "9007199254740993", "1" * 400, "1E+2", "-0.0e-0"])
def test_numbers_stay(number: str) -> None:
    assert shown(number) == number


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"a\u202eb"', '"a\\u202eb"'),
        ('"\U000e0041"', '"\\udb40\\udc41"'),
        ('"\\ud800"', '"\\ud800"'),
        ('"<b>\\/\\u0041"', '"<b>\\/\\u0041"'),
        ('"\x7f"', '"\\u007f"'),
    ],
)
def test_texts_stay(text: str, expected: str) -> None:
    """What can't be seen is escaped as JSON escapes it; escapes that were there stay."""
    assert shown(text) == expected
    assert json.loads(expected) == json.loads(text)


def test_names_given_twice() -> None:
    assert shown('{"a":1,"a":[],"b":{}}') == '{\n  "a": 1,\n  "a": [],\n  "b": {}\n}'


def test_sizes() -> None:
    """A bracket says how many members it holds, so that a page can say it when it is closed."""
    assert json_lines('{"a":[1,[2,3]]}') == [
        Line(0, None, "open", "{", size=1),
        Line(1, '"a"', "open", "[", size=2),
        Line(2, None, "number", "1", comma=True),
        Line(2, None, "open", "[", size=2),
        Line(3, None, "number", "2", comma=True),
        Line(3, None, "number", "3"),
        Line(2, None, "close", "]"),
        Line(1, None, "close", "]"),
        Line(0, None, "close", "}"),
    ]


@pytest.mark.parametrize(
    ("largest", "too_large"),
    [
        ("[" * DEEPEST + "]" * DEEPEST, "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1)),
        (json.dumps([1] * (MOST - 1)), json.dumps([1] * MOST)),
        (json.dumps("x" * (LONGEST - 2)), json.dumps("x" * (LONGEST - 1))),
    ],
    ids=["deep", "many", "long"],
)
def test_limits(largest: str, too_large: str) -> None:
    assert json_lines(largest) is not None
    assert json_lines(too_large) is None


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000, '"\\' * 100_000])
def test_what_would_exhaust_a_reader(text: str) -> None:
    assert json_lines(text) is None


def test_commas() -> None:
    """No comma too many, none too few."""
    for wrong in ("[1,]", "[,1]", "[1 2]", '{"a":1,}', '{"a" 1}', "{1:2}", "[1}", "1 2", "", "]", '{"a":}'):
        assert json_lines(wrong) is None, wrong
    assert re.fullmatch(r"\[\n  1,\n  2\n\]", shown(" [ 1 , 2 ] ") or "")
