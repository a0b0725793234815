"""docs/web-api.md is what the code says."""

import runpy
from pathlib import Path

from fmq_web.api.endpoints import ENDPOINTS

_DOCS = Path(__file__).parents[4] / "docs"


def test_the_page_is_new() -> None:
    made = runpy.run_path(str(_DOCS / "make_web_api.py"))["page"]()
    assert (_DOCS / "web-api.md").read_text(encoding="utf-8") == made
    for one in ENDPOINTS:
        assert f"### {one.method} {one.path.removeprefix('/api/v1')}\n" in made
