"""Waiting for a condition, never for time to pass."""

import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")
_STEP = 0.02


def wait_for(condition: Callable[[], _T], deadline: float = 30.0, *, what: str = "the condition") -> _T:
    """Ask ``condition`` until it is true and return its value. Fails once ``deadline`` seconds have passed."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline:g} s for {what}; it is still {value!r}")
        time.sleep(_STEP)
