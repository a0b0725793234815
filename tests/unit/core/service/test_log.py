"""Log lines: JSON for machines, the guide's format for people."""

import json
import logging
import re
from collections.abc import Iterator
from datetime import datetime

import pytest

from fmq.service import log


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def test_json(capfd: pytest.CaptureFixture[str]) -> None:
    """One object per line: time in UTC, level, service, message, and the given extra fields; a traceback stays in the same line."""
    log.configure(service="listener", level="INFO", style="json")
    logging.getLogger("fmq.x").debug("not shown")
    logging.getLogger("fmq.x").info("stored %d", 3, extra={"queue": "a/b", "message_id": 7})
    try:
        int("no\ngood")
    except ValueError:
        logging.getLogger("fmq.x").exception("failed")
    first, second = (json.loads(line) for line in capfd.readouterr().err.splitlines())
    offset = datetime.fromisoformat(first.pop("timestamp")).utcoffset()
    assert offset is not None
    assert offset.total_seconds() == 0
    assert first == {
        "level": "INFO",
        "logger": "fmq.x",
        "message": "stored 3",
        "service": "listener",
        "queue": "a/b",
        "message_id": 7,
    }
    assert "ValueError" in second["traceback"]


def test_text(capfd: pytest.CaptureFixture[str]) -> None:
    """As the guide shows it: time, verb and topic in brackets; the level only where it is not INFO."""
    log.configure(service="listener", level="INFO", style="text", subject="dstdb")
    logging.getLogger("fmq.x").info("Connected")
    logging.getLogger("fmq.x").warning("Lost")
    first, second = capfd.readouterr().err.splitlines()
    assert re.fullmatch(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] \[LISTEN-dstdb\] Connected", first)
    assert second.endswith("] [LISTEN-dstdb] WARNING: Lost")


def test_shorten() -> None:
    """A long topic is cut, and its length told."""
    assert log.shorten("abc") == "abc"
    assert log.shorten("x" * 65_535) == "x" * 200 + "… (65535 characters)"
