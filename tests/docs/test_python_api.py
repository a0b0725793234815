"""The public Python API is frozen: a change of it is a change of the stored text, for people to see."""

import runpy
from pathlib import Path

from docs.pages import ROOT

FROZEN = Path(__file__).with_name("python_api.txt")


def test_the_public_api_is_what_was_frozen() -> None:
    """Every public name, with its signature and its members.

    After a deliberate change: write the text that the failure shows, or what ``surface()`` of docs/make_python_api.py returns, to
    tests/docs/python_api.txt, and tell users in CHANGELOG.md.
    """
    made = runpy.run_path(str(ROOT / "docs/make_python_api.py"))["surface"]()
    assert made == FROZEN.read_text(encoding="utf-8")


def test_the_packages_have_their_types_with_them() -> None:
    """``py.typed`` in each, so that type checkers read them (PEP 561)."""
    packages = [ROOT / "shared/fmq", *(ROOT / "services").glob("*/fmq_*")]
    assert len(packages) == 5
    assert [one.name for one in packages if not (one / "py.typed").exists()] == []
