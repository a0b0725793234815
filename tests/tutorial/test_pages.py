"""README and tutorial line by line, as a reader pastes them, in an empty folder."""

import pytest

from support.walkthrough import Walk
from tutorial.pages import PAGES, follow


@pytest.mark.parametrize("page", PAGES)
def test_a_page_works_as_written(walk: Walk, page: str) -> None:
    """Every command succeeds, and shows what the page shows."""
    follow(walk, page)
