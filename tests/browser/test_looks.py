"""Each page, in light and dark, wide and narrow: for all readers, and without a line that leaves the screen."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page

from browser.conftest import NewPage
from support.web.every_page import every_page

PAGES = sorted(every_page())
_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_SMALL = """[...document.querySelectorAll("a, button, input, select, summary")]
    .filter((one) => one.checkVisibility() && !one.matches(".skip, p a, li a, .prose a"))
    .map((one) => [one.outerHTML.slice(0, 80), one.getBoundingClientRect()])
    .filter(([, box]) => box.height < 23.5)
    .map(([html]) => html)"""


def violations(page: Page) -> list[tuple[str, Any]]:
    """What axe finds, with the first place of each."""
    return [(one["id"], one["nodes"][0]["target"]) for one in Axe().run(page).response["violations"]]


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_everyone_can_use_it(new_page: NewPage, name: str, width: int) -> None:
    """Axe finds nothing in either theme, and targets can be hit: 24 pixels (WCAG 2.5.8), but for links within a sentence."""
    page = new_page(viewport={"width": width, "height": 800})
    page.goto(f"/{name}")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert violations(page) == [], theme
    assert page.evaluate(_SMALL) == []


@pytest.mark.parametrize("name", PAGES)
def test_nothing_leaves_a_screen_of_320_pixels(new_page: NewPage, name: str) -> None:
    """WCAG 1.4.10: nobody has to scroll in two directions."""
    page = new_page(viewport={"width": 320, "height": 640})
    page.goto(f"/{name}")
    assert page.evaluate(_OVERFLOW) <= 0


@pytest.mark.parametrize("name", PAGES)
def test_without_scripts_a_page_says_the_same(new_page: NewPage, name: str) -> None:
    """But for what only scripts can do: live figures, local times, the filter, copying."""
    page = new_page(java_script_enabled=False)
    page.goto(f"/{name}")
    assert page.locator("h1").is_visible()
    for only in ("#live", "#switches", "#filter-label", "[data-copy]", "dialog"):
        assert page.locator(only).filter(visible=True).count() == 0
