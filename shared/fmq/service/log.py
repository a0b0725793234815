"""Logs one line per event to standard error, as JSON or as text."""

import logging
import math
import os
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import Any, Literal, TextIO

from pythonjsonlogger.core import LogData
from pythonjsonlogger.json import JsonFormatter

import fmq
from fmq.clock import Clock
from fmq.service.streams import ignore_closed_output
from fmq.text import plain, printable_json

Style = Literal["auto", "json", "text"]
Context = Callable[[], Mapping[str, object]]
_MOST_KEYS = 100
_MOST_IDS = 3
_COLOURS = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[31m"}
_RESET = "\x1b[0m"
ROUTE: ContextVar[str] = ContextVar("fmq_route", default="")
"""The route that a log line is about, if a processor has several."""


def configure(*, service: str, level: str, style: Style, subject: str = "", context: Context = dict) -> None:
    """Set up the root logger.

    ``service`` is ``listener`` or ``processor``; ``subject`` follows it in the text format (the topics). The style ``auto`` is
    text on a terminal, otherwise JSON. Fields passed by ``extra=`` (``queue``, ``message_id``, …) become fields in JSON.
    ``context`` returns the fields of the message that the current thread or task handles: they are added to each line that
    does not have them.
    """
    ignore_closed_output()
    terminal = sys.stderr.isatty()
    handler = logging.StreamHandler(sys.stderr)
    if style == "json" or (style == "auto" and not terminal):
        if isinstance(sys.stderr, TextIOWrapper):
            sys.stderr.reconfigure(encoding="utf-8")  # JSON is UTF-8, whatever the locale (RFC 8259, section 8.1)
        handler.setFormatter(_json_formatter(service))
    else:
        handler.setFormatter(_TextFormatter(service, subject, in_colour=in_colour(sys.stderr)))
    handler.addFilter(_Context(context))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    if level != "DEBUG":
        # Its warnings repeat what the store reports about a lost connection, in words of a driver.
        logging.getLogger("psycopg").setLevel(logging.ERROR)
    logging.captureWarnings(True)


def writes_json() -> bool:
    """Whether log lines are JSON, as ``configure`` has decided. False before its first call."""
    return any(isinstance(handler.formatter, _JsonFormatter) for handler in logging.getLogger().handlers)


def announce(logger: logging.Logger, event: str, **facts: object) -> None:
    """Log ``event`` at the start of a service, with the version of fmq and ``facts`` (name to value) in the line and as fields.

    Facts whose value is None are left out. Pass URLs without passwords.
    """
    given = {name: one if isinstance(one, int) else str(one) for name, one in facts.items() if one is not None}
    shown = [f"{name} {shorten(str(one))}" for name, one in given.items() if str(one) not in event]
    logger.info(
        "%s (%s)", event, ", ".join([f"fmq {fmq.__version__}", *shown]), extra={"version": fmq.__version__, **given}
    )


def in_colour(stream: TextIO) -> bool:
    """Whether to colour text on ``stream``: on a terminal that can, unless NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _Context(logging.Filter):
    """Adds the route and the fields of the message that is being handled to a record. Called only for lines that are logged."""

    def __init__(self, fields: Context) -> None:
        super().__init__()
        self._fields = fields

    def filter(self, record: logging.LogRecord) -> bool:
        if (route := ROUTE.get()) and not hasattr(record, "route"):
            record.route = route
        if not hasattr(record, "message_id") and (fields := self._fields()):
            record.__dict__.update({**fields, **record.__dict__, "_about": _about(fields)})
        return True


def _about(fields: Mapping[str, object]) -> str:
    ids = fields.get("message_ids")
    if not isinstance(ids, list):
        return f"message {fields.get('message_id')} of {fields.get('queue')}"
    shown = ", ".join(map(str, ids[:_MOST_IDS]))
    return f"messages {shown}{', …' if len(ids) > _MOST_IDS else ''} of {fields.get('queue')}"


class _JsonFormatter(JsonFormatter):
    """The time first, and text as it is, except for characters that a terminal might act on."""

    def process_log_record(self, log_data: LogData) -> LogData:
        return {"timestamp": log_data.pop("timestamp"), **log_data}

    def jsonify_log_record(self, log_data: LogData) -> str:
        return printable_json(super().jsonify_log_record(log_data))


def _json_formatter(service: str) -> logging.Formatter:
    return _JsonFormatter(
        ["levelname", "name", "message"],
        rename_fields={"levelname": "level", "name": "logger", "exc_info": "traceback"},
        static_fields={"service": service},
        timestamp=True,
        json_ensure_ascii=False,
    )


class _TextFormatter(logging.Formatter):
    """``[2025-01-15 10:30:45] [LISTEN-dstdb] …``, in local time, as the guide shows it."""

    def __init__(self, service: str, subject: str, *, in_colour: bool) -> None:
        super().__init__()
        verb = {"listener": "LISTEN", "processor": "PROCESS"}.get(service, service.upper())
        self._prefix = plain(f"{verb}-{subject}" if subject else verb)
        self._in_colour = in_colour

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        at = time.strftime("%Y-%m-%d %H:%M:%S", datetime.fromtimestamp(record.created, UTC).astimezone().timetuple())
        about, route = getattr(record, "_about", ""), getattr(record, "route", "")
        prefix = f"[{self._prefix}] [{plain(route)}]" if route else f"[{self._prefix}]"
        return f"[{at}] {prefix} {self._level(record)}{plain(record.message)}{f' ({plain(shorten(about))})' if about else ''}"

    def _level(self, record: logging.LogRecord) -> str:
        if record.levelno == logging.INFO:
            return ""
        colour = _COLOURS.get(record.levelno) if self._in_colour else None
        return f"{colour}{record.levelname}:{_RESET} " if colour else f"{record.levelname}: "

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
