"""The handlers and the tests that docs/own-handlers.md shows, run as they stand."""

import inspect
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import fmq
from docs.pages import ROOT, Page
from fmq.testing import Bench, message, run

PAGE = Page(ROOT / "docs/own-handlers.md")
BLOCKS = [block.text for block in PAGE.code("python")]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def _module(name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    Path(f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = import_module(name)
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, name, module)
    return module


@pytest.mark.parametrize("number", [number for number, code in enumerate(BLOCKS) if "fmq.testing" not in code])
def test_every_handler_of_the_page_works(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each handles a message, with its set-up and tear-down."""
    module = _module(f"own_handlers_{number}", BLOCKS[number], monkeypatch)
    assert run(module.handle, message({"temperature": 20.5})).outcome == fmq.Done()


def test_the_tests_of_the_page_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the first handler of the page as the module that they import."""
    (code,) = [code for code in BLOCKS if "fmq.testing" in code]
    _module("mine", BLOCKS[0], monkeypatch)
    tests = _module("test_mine", code, monkeypatch)
    names = [name for name in vars(tests) if name.startswith("test_")]
    assert len(names) == 3
    for name in names:
        test = getattr(tests, name)
        if inspect.signature(test).parameters:
            with Bench(tmp_path) as bench:
                test(bench)
        else:
            test()
