"""README and tutorial on a new Debian, including what has to be installed first."""

import pytest

from support.walkthrough import Walk
from tutorial.pages import PAGES, follow


@pytest.mark.parametrize("page", PAGES)
def test_a_page_works_on_a_new_machine(walk_on_new_machine: Walk, page: str) -> None:
    """Every command succeeds, and shows what the page shows."""
    follow(walk_on_new_machine, page)
