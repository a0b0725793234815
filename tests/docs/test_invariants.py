"""The page of invariants and their tests."""

import re
from pathlib import Path

_TESTS = Path(__file__).parents[1]
_PATH = re.compile(r"`([a-z0-9_]+(?:/[a-z0-9_]+)+\.py)")


def test_the_tests_that_it_names_exist() -> None:
    """A line whose test was moved or removed would prove nothing."""
    page = (_TESTS.parent / "docs" / "invariants.md").read_text(encoding="utf-8")
    named = set(_PATH.findall(page))
    assert len(named) > 30
    assert not [one for one in sorted(named) if not (_TESTS / one).is_file()]
