"""Passwords: what fits, what does not, and what a hash gives away."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmq_web.access.passwords import LONGEST_PASSWORD, PasswordHash, password_bytes
from fmq_web.access.tokens import digest_of, new_token, parse_digest, show_digest


def test_a_password_fits_its_hash_alone() -> None:
    """Through the text of the file and back."""
    kept = PasswordHash.parse(str(PasswordHash.of("Grüße, Jürgen")))
    assert kept.matches("Grüße, Jürgen")
    assert kept.matches("Gru\u0308ße, Ju\u0308rgen"), "another keyboard makes other code points of the same text"
    assert not kept.matches("Grüße, Jürgen ")
    assert not PasswordHash.of_nobody().matches("")


def test_a_password_with_many_marks() -> None:
    """Anyone may send one. Its normal form costs the square of its length, so most of it is left out first."""
    marks = "a" + "\u0315\u0300" * 100_000
    begun = time.process_time()
    assert len(password_bytes(marks).decode()) == LONGEST_PASSWORD
    assert time.process_time() - begun < 5, "all of it would take minutes, within which nothing else runs"


def test_costs_and_salt() -> None:
    """The costs are those of the design; two hashes of one password differ."""
    one, other = str(PasswordHash.of("x" * 8)), str(PasswordHash.of("x" * 8))
    assert one.startswith("scrypt$32768$8$3$")
    assert one != other
    assert repr(PasswordHash.parse(one)) == "PasswordHash()", "a log line that shows the object shows no hash"


@settings(max_examples=300)
@given(st.text() | st.text("scrypt$0123456789abc=/+", max_size=100).map("scrypt$32768$8$3$".__add__))
def test_other_text_is_refused_without_repeating_it(text: str) -> None:
    """Whatever else stands in a file raises ValueError only."""
    said = ""
    try:
        PasswordHash.parse(text)
    except ValueError as error:
        said = str(error)
    assert len(text) < 20 or text not in said


def test_weaker_costs_are_refused() -> None:
    """One set of costs alone, or the time of a check would tell who exists."""
    weak = str(PasswordHash.of("x" * 8)).replace("32768", "1024")
    with pytest.raises(ValueError, match="expected a hash"):
        PasswordHash.parse(weak)


def test_tokens() -> None:
    """256 bits each, and only their hash in the file."""
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(one) == 43 for one in tokens), "43 characters of base64 are 256 bits"
    one = tokens.pop()
    assert one not in show_digest(one)
    assert parse_digest(show_digest(one)) == digest_of(one)
