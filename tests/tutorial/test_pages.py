"""README and tutorial in an empty folder, line by line, as a reader pastes them."""

import pytest

from tutorial.conftest import ROOT, Reader


@pytest.mark.parametrize("page", ["README.md"])
def test_a_page_works_as_written(reader: Reader, page: str) -> None:
    """Every command succeeds, and shows what the page shows."""
    reader.walk.run(ROOT / page)
    print("\n".join(f"{seconds:6.1f} s  {heading}" for heading, seconds in reader.walk.took.items()))
