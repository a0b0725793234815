"""What a reader asks for means the same in the next step, and in the operation on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmq.store.selection import State
from fmq_web.http.problems import Problem
from fmq_web.pages import figures, times
from fmq_web.pages.asked import Asked, Chosen, group_of
from support.web.texts import NOW

_MOMENTS = st.floats(0, 4e9)


@given(st.text(max_size=200))
def test_a_group_is_never_lost(fingerprint: str) -> None:
    """Not even that of letters without a reason: a purge of it would delete all others too."""
    field = group_of(fingerprint)
    assert field
    assert Chosen(group=field).which(State.DEAD).fingerprint == fingerprint
    assert Chosen().which(State.DEAD).fingerprint is None


@given(
    st.sampled_from(
        [
            "90 s",
            "15min",
            "15 m",
            "2h",
            "2.5 H",
            "3 d ago",
            "2026-11-29",
            "2026-11-29 10:00",
            "2026-11-29T10:00:00+02:00",
        ]
    ),
    _MOMENTS,
)
def test_times_are_fixed_once(text: str, later: float) -> None:
    """The next step, an hour later, is about the same messages."""
    fixed = times.exact(text, NOW)
    assert times.exact(fixed, later) == fixed
    at = times.unix(fixed)
    assert at is not None
    assert at <= NOW


def test_times_are_in_utc() -> None:
    """Without another zone."""
    assert (
        times.exact("2026-11-29 10:35", 0.0)
        == times.exact("2026-11-29 11:35+01:00", 0.0)
        == times.exact("2026-11-29 10:35 UTC", 0.0)
    )
    assert times.exact("2026-11-29 10:35", 0.0) == "2026-11-29 10:35:00"


@pytest.mark.parametrize("text", ["soon", "-3 h", "1969-01-01", "9" * 90, "2026-13-01", "99999-01-01", "١٢ h"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """With what would be one."""
    with pytest.raises(Problem, match="expected an age"):
        times.exact(text, NOW)


@given(st.floats(allow_nan=False))
def test_every_moment_can_be_written(at: float) -> None:
    """Whatever a clock said."""
    assert times.utc(at).endswith(" UTC")
    assert times.iso(at).endswith("Z")


def test_links_carry_what_was_asked() -> None:
    """And no cursor, which belongs to one step."""
    asked = Asked(queue="a/+", state="dead", topic="a/b", text="x", since="2h", group=":g", before="abc").at(NOW)
    assert asked.fields() == {
        "state": "dead",
        "text": "x",
        "topic": "a/b",
        "since": "2026-11-29 08:35:03",
        "group": ":g",
    }


@given(st.floats(0, 1e12))
def test_a_rate_above_zero_never_reads_as_zero(rate: float) -> None:
    """Little is not nothing."""
    assert (figures.rate(rate) == "0") == (rate == 0)
