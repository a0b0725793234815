"""docs/handlers.md: its code, as it stands in the page."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from fmq.handler import load_handler
from fmq_processor.choice import choose
from fmq_processor.handlers import BUILTIN

PAGE = Path(__file__).parents[3] / "docs" / "handlers.md"


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)):
        (tmp_path / f"page_code_{number}.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    yield
    for name in ("page_code_0", "page_code_1"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "is_async", "is_batch"),
    [("handle", False, False), ("handle_async", True, False), ("handle_batch", False, True), ("Handler", False, False)],
)
def test_its_forms_are_handlers(name: str, is_async: bool, is_batch: bool) -> None:  # noqa: FBT001
    """Each of the kind that the page says."""
    handler = load_handler(f"page_code_0:{name}", {})
    assert (handler.is_async, handler.is_batch) == (is_async, is_batch)


def test_its_class_with_settings() -> None:
    """Is made with them, and counts."""
    _, choice = choose({"handler": "page_code_1:Shop"}, {"FMQ_SHOP_URL": "https://shop.example"})
    registry = CollectorRegistry()
    choice.make(registry).handle(None)
    assert registry.get_sample_value("shop_orders_total") == 1


@pytest.mark.parametrize("name", sorted(BUILTIN.keys() - {"log"}))
def test_each_built_in_has_a_page_that_is_linked(name: str) -> None:
    """From the page on handlers."""
    assert f"](handlers/{name}.md)" in PAGE.read_text(encoding="utf-8")
    assert (PAGE.parent / "handlers" / f"{name}.md").exists()
