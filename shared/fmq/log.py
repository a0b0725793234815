"""One line an event on standard error, as JSON or as text for people."""

import logging
import math
import sys
import time
from collections.abc import Hashable
from datetime import UTC, datetime
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

from fmq.clock import Clock

_MOST_KEYS = 100


def configure(*, service: str, level: str, style: Literal["json", "text"], subject: str = "") -> None:
    """Set up the root logger.

    ``service`` is ``listener`` or ``processor``; ``subject`` is what the text format names behind it (the topics).
    Fields given by ``extra=`` (``queue``, ``message_id``, …) stand beside the message in JSON.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json_formatter(service) if style == "json" else _TextFormatter(service, subject))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)


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
        self._prefix = f"{verb}-{subject}" if subject else verb

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        at = time.strftime("%Y-%m-%d %H:%M:%S", datetime.fromtimestamp(record.created, UTC).astimezone().timetuple())
        level = "" if record.levelno == logging.INFO else f"{record.levelname}: "
        return f"[{at}] [{self._prefix}] {level}{record.message}"


def shorten(text: str, limit: int = 200) -> str:
    """``text`` for a log line: topics may be 65,535 bytes long."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


class Seldom:
    """Lets one log line per key through in a number of seconds, and counts what it holds back."""

    def __init__(self, seconds: float, *, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._admitted: dict[Hashable, tuple[float, int]] = {}

    def admit(self, key: Hashable) -> int | None:
        """How many lines of ``key`` were held back since the last one; None if this one is to be held back too."""
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
