"""docs/handlers.md: its class with settings, and its links. tests/docs runs the handlers of the page."""

import re
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fmq_processor.handler_loading import choose
from fmq_processor.handlers import BUILTIN

PAGE = Path(__file__).parents[4] / "docs" / "handlers.md"


def test_its_class_with_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is made with them, and counts."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = (block for block in blocks if "class Shop" in block)
    (tmp_path / "shop_of_the_page.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    _, choice = choose({"handler": "shop_of_the_page:Shop"}, {"FMQ_SHOP_URL": "https://shop.example"})
    registry = CollectorRegistry()
    choice.make(registry).handle(None)
    assert registry.get_sample_value("shop_orders_total") == 1


@pytest.mark.parametrize("name", sorted(BUILTIN.keys() - {"log"}))
def test_each_built_in_has_a_page_that_is_linked(name: str) -> None:
    """From the page on handlers."""
    assert f"](handlers/{name}.md)" in PAGE.read_text(encoding="utf-8")
    assert (PAGE.parent / "handlers" / f"{name}.md").exists()
