"""Handlers as users write them, adapted as a processor does it."""

import sys
from collections.abc import Callable
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fmq.handler import Definition, Handler
from fmq.message import Message, with_body
from fmq_processor.typed.adapting import adapted

_NUMBERS = count(1)


class Beside:
    """The hooks next to a handler."""

    def __init__(self, setup: Callable[..., Any] | None = None, teardown: Callable[..., Any] | None = None) -> None:
        self.setup = setup
        self.teardown = teardown


def own(handle: Callable[..., Any], *, setup: Any = None, teardown: Any = None) -> Handler:  # noqa: ANN401 - any hooks
    """A handler made of functions. Raises HandlerError."""
    return adapted(Definition("mine:handle", handle, Beside(setup, teardown)).make(None, CollectorRegistry()))


def own_module(folder: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> Handler:
    """The function ``handle`` of a module with this source, with the module's hooks. Raises HandlerError."""
    name = f"own_module_{next(_NUMBERS)}"
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    module = import_module(name)
    monkeypatch.delitem(sys.modules, name)
    return adapted(Definition(f"{name}:handle", module.handle, module).make(None, CollectorRegistry()))


def decoded(body: object, number: int = 1) -> Message:
    """A message whose payload was decoded to ``body``."""
    return with_body(Message(number, "q", "t", b"", 0.0), body)
