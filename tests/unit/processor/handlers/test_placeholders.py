"""Names made of what a stranger publishes."""

import os
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmq_processor.handlers.placeholders import check, file_name, fill, fixed_part

_texts = st.text(st.characters(codec=None), max_size=400) | st.text("./-~%_ \0", max_size=6)


@given(_texts)
def test_a_file_name_never_leaves_its_folder(text: str) -> None:
    """Whatever is in a topic, the file is in the folder itself, not hidden, and can be made."""
    name = file_name(text)
    path = Path("/folder") / name
    assert os.path.normpath(path) == f"/folder/{name}"
    assert path.parent == Path("/folder")
    assert name[0] not in ".-"
    assert name.isascii()
    assert name.isprintable()
    assert len(name) <= 150


@given(_texts, _texts)
def test_two_texts_have_two_file_names(text: str, other: str) -> None:
    """Also where they differ only in what a name can't hold, or behind what is kept of a long one."""
    assert (file_name(text) == file_name(other)) == (text == other)
    assert file_name("x" * 200 + text) != file_name("x" * 200 + other) or text == other


def test_no_text_has_the_name_of_a_shortened_one() -> None:
    """Not even one made for it: what a shortened name stands for is no other text as it is."""
    name = file_name("x" * 200)
    assert len(name) == 150
    assert file_name(unquote(name)) != name


def test_file_names_are_readable() -> None:
    """As far as they can be."""
    assert file_name("sensors/+/temp") == "sensors%2F+%2Ftemp"
    assert (file_name(".."), file_name("."), file_name("-rf"), file_name("")) == ("%2E.", "%2E", "%2Drf", "%")


def test_templates() -> None:
    """A placeholder is replaced once: its value is not a template."""
    assert fill("{queue}/{topic}.jsonl", {"queue": "{topic}", "topic": "t"}) == "{topic}/t.jsonl"
    assert fixed_part("/data/{queue}/x") == "/data/"
    check("no placeholder", ("queue",))
    for template, wrong in (
        ("{que}", "unknown placeholder {que}; known: {queue}"),
        ("{queue", "unmatched { or }"),
        ("a}", "unmatched"),
    ):
        with pytest.raises(ValueError, match=wrong.replace("{", r"\{")):
            check(template, ("queue",))
