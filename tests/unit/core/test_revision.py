"""The revision in an image."""

from pathlib import Path

import pytest

from fmq.revision import revision


@pytest.mark.parametrize(("content", "found"), [("abc\n", "abc"), ("unknown\n", ""), ("", ""), ("\udcff", "")])
def test_it_is_read_from_the_environment(content: str, found: str, tmp_path: Path) -> None:
    """An image that was built without one has none, and neither has a damaged file."""
    (tmp_path / "fmq-revision").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert revision(str(tmp_path)) == found


def test_without_the_file_there_is_none(tmp_path: Path) -> None:
    """As where fmq was installed from a package."""
    assert revision(str(tmp_path)) == ""
