"""The handler ``file``."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from prometheus_client import CollectorRegistry

from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.message import Message
from fmq.message_json import message_json
from fmq.outcome import Unavailable, batch_handler
from fmq.service.settings import HandlerSettings
from fmq_processor.handlers import placeholders
from fmq_processor.handlers.file.appender import Appender, make_folder
from fmq_processor.handlers.file.metrics import FileMetrics
from fmq_processor.handlers.file.settings import PLACEHOLDERS, FileSettings

_log = logging.getLogger(__name__)
_KEPT_PATHS = 10_000


class FileHandler:
    """Appends each message as a line of JSON. The message is done when the line is synced."""

    Settings: ClassVar[type[HandlerSettings]] = FileSettings

    def __init__(self, settings: FileSettings, registry: CollectorRegistry, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._path = str(Path(settings.file_path).absolute())
        self._only = None if placeholders.has_any(self._path) else Path(self._path)
        self._path_of = lru_cache(_KEPT_PATHS)(self._find_path)
        self._fixed_folder = settings.fixed_folder
        self._metrics = FileMetrics(registry)
        self._appender = Appender(
            clock=clock,
            metrics=self._metrics,
            rotate_bytes=settings.file_rotate_bytes,
            rotate_seconds=settings.file_rotate_seconds,
        )

    def setup(self) -> None:
        """Repair a file that a crash left with an unfinished line, before readers see it for long."""
        if self._only is None:
            return  # each one is repaired at its first append
        try:
            self._appender.append(self._only, b"")
        except OSError as error:
            _log.warning("The file can't be written yet: %s", error)

    @batch_handler
    def handle(self, messages: Sequence[Message]) -> Sequence[Unavailable | None]:
        """One append per file. A file that can't be written counts as a target that is down, for its messages."""
        if self._only is not None:
            return [self._append(self._only, messages)] * len(messages)
        by_path: dict[Path, list[int]] = defaultdict(list)
        for index, message in enumerate(messages):
            by_path[self._path_of(message.queue, message.topic)].append(index)
        results: list[Unavailable | None] = [None] * len(messages)
        for path, indexes in by_path.items():
            problem = self._append(path, [messages[index] for index in indexes])
            for index in indexes:
                results[index] = problem
        return results

    def _find_path(self, *values: str) -> Path:
        """The file of messages with these values of the placeholders."""
        names = {name: placeholders.file_name(value) for name, value in zip(PLACEHOLDERS, values, strict=True)}
        return Path(placeholders.fill(self._path, names))

    def _append(self, path: Path, messages: Sequence[Message]) -> Unavailable | None:
        lines = "".join([f"{message_json(message)}\n" for message in messages]).encode("ascii")
        try:
            with self._metrics.append_seconds.time():
                make_folder(path.parent, below=self._fixed_folder)
                self._appender.append(path, lines)
        except OSError as error:
            self._metrics.failures.inc()
            return Unavailable(reason=f"the file can't be written: {error}")
        self._metrics.lines.inc(len(messages))
        self._metrics.written_bytes.inc(len(lines))
        return None
