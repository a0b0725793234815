"""The pages that are run."""

from pathlib import Path

from support.walkthrough import Walk

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/tutorial.md")


def follow(walk: Walk, page: str) -> None:
    """Run a page, and print how long each part took."""
    walk.run(ROOT / page)
    print("\n".join([page, *(f"{seconds:6.1f} s  {heading}" for heading, seconds in walk.took.items())]))
