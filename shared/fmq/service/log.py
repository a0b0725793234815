"""Logs one line per event to standard error, as JSON or as text."""

import logging
import math
import sys
import time
from collections.abc import Hashable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

from pythonjsonlogger.json import JsonFormatter

from fmq.clock import Clock
from fmq.service.streams import ignore_closed_output
from fmq.text import plain

_MOST_KEYS = 100
ROUTE: ContextVar[str] = ContextVar("fmq_route", default="")
"""The route that a log line is about, if a processor has several."""


def configure(*, service: str, level: str, style: Literal["json", "text"], subject: str = "") -> None:
    """Set up the root logger.

    ``service`` is ``listener`` or ``processor``; ``subject`` follows it in the text format (the topics).
    Fields passed by ``extra=`` (``queue``, ``message_id``, …) become fields in JSON.
    """
    ignore_closed_output()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json_formatter(service) if style == "json" else _TextFormatter(service, subject))
    handler.addFilter(_name_route)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)


def _name_route(record: logging.LogRecord) -> bool:
    if route := ROUTE.get():
        record.route = route
    return True


def _json_formatter(service: str) -> logging.Formatter:
    return JsonFormatter(
        ["levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "traceback"},
        static_fields={"service": service},
        timestamp=True,
    )


class _TextFormatter(logging.Formatter):
    """``[2025-01-15 10:30:45] [LISTEN-dstdb] …``, in local time, as the guide shows it."""

    def __init__(self, service: str, subject: str) -> None:
        super().__init__()
        verb = {"listener": "LISTEN", "processor": "PROCESS"}.get(service, service.upper())
        self._prefix = plain(f"{verb}-{subject}" if subject else verb)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        at = time.strftime("%Y-%m-%d %H:%M:%S", datetime.fromtimestamp(record.created, UTC).astimezone().timetuple())
        level = "" if record.levelno == logging.INFO else f"{record.levelname}: "
        route = getattr(record, "route", "")
        return f"[{at}] [{self._prefix}] {f'[{plain(route)}] ' if route else ''}{level}{plain(record.message)}"

    def formatException(self, ei: Any) -> str:  # noqa: N802, ANN401 - as logging has it
        """Indented, so that no text of an exception looks like a log line."""
        return "\n".join(f"  {plain(line)}" for line in super().formatException(ei).split("\n"))


def shorten(text: str, limit: int = 200) -> str:
    """Shorten ``text`` for a log line: topics may have 65,535 bytes."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


class Seldom:
    """Limits log lines to one per key and period, and counts the others."""

    def __init__(self, seconds: float, *, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._admitted: dict[Hashable, tuple[float, int]] = {}

    def admit(self, key: Hashable) -> int | None:
        """The number of suppressed lines of ``key`` since the last one; None if this one is suppressed too."""
        now = self._clock.steady()
        at, held_back = self._admitted.get(key, (-math.inf, 0))
        if now - at < self._seconds:
            self._admitted[key] = (at, held_back + 1)
            return None
        self._admitted.pop(key, None)
        self._admitted[key] = (now, 0)
        if len(self._admitted) > _MOST_KEYS:
            del self._admitted[next(iter(self._admitted))]
        return held_back
