"""The lines of values in a TOML text."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fmq.cli.common.as_file import write
from fmq.service.config.lines import find_lines

TEXT = '''# a comment
[broker]
url = "x" # another

[listener]
topics = [
  "a",   # [not a table]
  "b",
]
[[route]]
queues = ["a"]
webhook.url = "x"
webhook.headers = { a = "1", b = "2" }
[[route]]
text = """
[no table]
key = 1
]
"""
[route.webhook]
url = "y"
"quoted.key" = 1
'''


def test_each_value_has_its_line() -> None:
    """Also within lists, inline tables and dotted keys, after text over several lines, and in the right route."""
    found = find_lines(TEXT)
    for place, line in {
        ("broker",): 2,
        ("broker", "url"): 3,
        ("listener", "topics"): 6,
        ("listener", "topics", 1): 6,
        ("route",): 10,
        ("route", 0): 10,
        ("route", 0, "webhook", "url"): 12,
        ("route", 0, "webhook", "headers", "b"): 13,
        ("route", 1): 14,
        ("route", 1, "text"): 15,
        ("route", 1, "webhook"): 20,
        ("route", 1, "webhook", "quoted.key"): 22,
    }.items():
        assert found[place] == line, place
    assert ("no table",) not in found


VALUES = st.one_of(st.text(), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.lists(st.text(), max_size=3))
TABLES = st.dictionaries(
    st.text(),
    st.one_of(
        st.dictionaries(st.text(), st.one_of(VALUES, st.dictionaries(st.text(), VALUES, max_size=3)), max_size=4),
        st.lists(st.dictionaries(st.text(), VALUES, max_size=3), min_size=1, max_size=3),
    ),
    max_size=4,
)


def places(value: object, above: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """The places of all values."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {above}.union(*(places(one, (*above, key)) for key, one in inner))


@given(TABLES)
def test_what_is_written_is_read(tables: dict[str, Any]) -> None:
    """A file that fmq writes has the same values when it is read, and each of them a line with its key."""
    text = write(tables, {})
    assert tomllib.loads(text) == tables
    lines = find_lines(text)
    assert places(tables) - {()} <= lines.keys()
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
