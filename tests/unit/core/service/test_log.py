"""Log lines: JSON for machines, the guide's format for people."""

import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

import fmq
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


def test_json_is_utf_8_with_the_time_first(capfd: pytest.CaptureFixture[str]) -> None:
    """Text stays as it is. What a terminal might act on is escaped, as JSON escapes it, so it stays the same text."""
    log.configure(service="listener", level="INFO", style="json")
    text = "grüße, 温度 😀 \x1b[31m \x9b \u202e \x7f \ud800"
    logging.getLogger("fmq.x").info("%s", text)
    line = capfd.readouterr().err
    assert line.startswith('{"timestamp": ')
    assert "grüße, 温度 😀 \\u001b[31m \\u009b \\u202e \\u007f \\ud800" in line
    assert json.loads(line)["message"] == text


@pytest.mark.parametrize(("terminal", "first"), [(True, "["), (False, "{")])
def test_auto(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, terminal: bool, first: str
) -> None:
    """Text for people on a terminal, JSON for programs elsewhere."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    log.configure(service="listener", level="INFO", style="auto")
    logging.getLogger("fmq.x").info("hello")
    assert capfd.readouterr().err.startswith(first)


@pytest.mark.parametrize(
    ("terminal", "environ", "coloured"),
    [(True, {}, True), (True, {"NO_COLOR": "1"}, False), (True, {"TERM": "dumb"}, False), (False, {}, False)],
)
def test_colours(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    terminal: bool,
    environ: dict[str, str],
    coloured: bool,
) -> None:
    """Only on a terminal, only without NO_COLOR, and only what is not INFO."""
    for name, value in {"NO_COLOR": "", "TERM": "xterm", **environ}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    log.configure(service="listener", level="INFO", style="text")
    logging.getLogger("fmq.x").info("fine")
    logging.getLogger("fmq.x").error("wrong")
    fine, wrong = capfd.readouterr().err.splitlines()
    assert "\x1b" not in fine
    assert ("\x1b[31mERROR:\x1b[0m wrong" in wrong) is coloured


def test_lines_name_the_message_that_is_handled(capfd: pytest.CaptureFixture[str]) -> None:
    """The fields of the context are in each line, unless the line names its message."""
    about = {"queue": "a/b", "message_id": 7}
    log.configure(service="processor", level="INFO", style="json", context=lambda: about)
    logging.getLogger("mine").info("hello")
    logging.getLogger("mine").info("other", extra={"message_id": 8, "queue": "c"})
    log.configure(service="processor", level="INFO", style="text", context=lambda: about)
    logging.getLogger("mine").info("hello")
    logging.getLogger("mine").info("message 8 is late", extra={"message_id": 8})
    first, second, third, fourth = capfd.readouterr().err.splitlines()
    assert json.loads(first).items() >= about.items()
    assert json.loads(second).items() >= {"message_id": 8, "queue": "c"}.items()
    assert third.endswith("[PROCESS] hello (message 7 of a/b)")
    assert fourth.endswith("[PROCESS] message 8 is late")


def test_the_context_is_not_asked_for_lines_that_are_not_logged() -> None:
    """A handler that logs nothing at this level pays nothing for it."""
    asked: list[bool] = []

    def context() -> dict[str, object]:
        asked.append(True)
        return {}

    log.configure(service="processor", level="INFO", style="json", context=context)
    logging.getLogger("mine").debug("hello")
    assert not asked


def test_announce(capfd: pytest.CaptureFixture[str]) -> None:
    """One line with the version and the facts, which are also fields; what the event says already is not repeated."""
    log.configure(service="web", level="INFO", style="json")
    log.announce(logging.getLogger("fmq.x"), "Serving http://h", url="http://h", store="sqlite:///q.db", broker=None)
    line = json.loads(capfd.readouterr().err)
    assert line["message"] == f"Serving http://h (fmq {fmq.__version__}, store sqlite:///q.db)"
    assert line.items() >= {"version": fmq.__version__, "store": "sqlite:///q.db", "url": "http://h"}.items()
    assert "broker" not in line


def test_shorten() -> None:
    """A long topic is cut, and its length told."""
    assert log.shorten("abc") == "abc"
    assert log.shorten("x" * 65_535) == "x" * 200 + "… (65535 characters)"
