"""docs/handlers.md has a page for each built-in handler."""

from pathlib import Path

import pytest

from fmq_processor.handlers import BUILTIN

PAGE = Path(__file__).parents[3] / "docs" / "handlers.md"


@pytest.mark.parametrize("name", sorted(BUILTIN.keys() - {"log"}))
def test_each_built_in_has_a_page_that_is_linked(name: str) -> None:
    """From the page on handlers."""
    assert f"](handlers/{name}.md)" in PAGE.read_text(encoding="utf-8")
    assert (PAGE.parent / "handlers" / f"{name}.md").exists()
