"""The handlers that the pages and examples/ show, run as they stand by a real processor."""

import ast
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from docs.pages import ROOT, Page
from fmq.message import Incoming
from fmq.store.backends import open_store
from fmq.store.roles import Store
from support.processes import Processes
from support.wait import wait_for

PAGE = Page(ROOT / "docs/handlers.md")
SETTINGS = {"Shop": {"FMQ_SHOP_URL": "https://shop.example"}}
"""The settings that the pages' handlers need."""


class Shown(NamedTuple):
    """A handler on a page: its reference for --handler, and its name."""

    reference: str
    name: str


def handlers_in(code: str) -> Iterator[str]:
    """The names of its functions that begin with handle, and of its classes that have such a method."""
    for node in ast.parse(code).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        found = [one.name for one in inner if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
        if any(name.startswith("handle") for name in found):
            yield node.name if isinstance(node, ast.ClassDef) else found[0]


def write_modules(folder: Path) -> list[Shown]:
    """Write each block of Python on the page as a module, and tell which handlers are in it."""
    shown = []
    for number, block in enumerate(PAGE.code("python")):
        module = f"block_{number}"
        (folder / f"{module}.py").write_text(block.text, encoding="utf-8")
        shown += [Shown(f"{module}:{name}", name) for name in handlers_in(block.text)]
    return shown


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as started:
        yield started


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/mqtt_queue.db") as opened:
        yield opened


def put(queue: Store, name: str, *payloads: bytes) -> None:
    queue.declare(name)
    queue.put([Incoming(name, name, payload, time.time()) for payload in payloads])


def test_every_handler_of_the_page_works(tmp_path: Path, queue: Store, processes: Processes) -> None:
    """Each function and class in docs/handlers.md handles messages in a processor of its own, and ends with exit code 0."""
    shown = write_modules(tmp_path)
    assert {"handle", "handle_async", "handle_batch", "Handler"} <= {one.name for one in shown}, shown
    running = []
    for one in shown:
        put(queue, one.reference, b'{"order": 1, "value": 20.5}', b'{"order": 2, "value": 21.5}')
        settings = SETTINGS.get(one.name, {})
        running.append(processes.start("process", one.reference, FMQ_HANDLER=one.reference, **settings))
    for one, process in zip(shown, running, strict=True):
        wait_for(lambda name=one.reference: queue.stats(name).done == 2, 30, what=f"{one.reference}\n{process.text}")  # type: ignore[misc]
        assert process.terminate() == 0
        assert "Traceback" not in process.text


def test_every_example_works(queue: Store, processes: Processes) -> None:
    """The files in examples/, by the commands in their own first lines."""
    running = {}
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    for file in sorted((ROOT / "examples").glob("*.py")):
        command = re.search(r"^    fmq (process .*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert command, f"{file} does not say how it is started"
        words = command[1].split()
        name = f"{words[1]}/{file.stem}"
        put(queue, name, json.dumps({"temperature": 21.5}).encode())
        running[name] = processes.start(words[0], name, *words[2:], PYTHONPATH=path)
    for name, process in running.items():
        wait_for(lambda name=name: queue.stats(name).done == 1, 30, what=f"{name}\n{process.text}")  # type: ignore[misc]
        assert process.terminate() == 0
