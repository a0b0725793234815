"""The first and the last line of an exported file, by which a reader notices that something is missing or has changed."""

import hashlib
from typing import BinaryIO

from fmq.message_json import read_fields
from fmq.store.moving.json_lines import line_of

_BEGIN, _END = "fmq_export", "fmq_export_end"
_FORMAT = 1


class FrameWriter:
    """Writes lines to a file, with a frame if it is ``checked``."""

    def __init__(self, file: BinaryIO, *, checked: bool) -> None:
        self._file = file
        self._checked = checked
        self._digest = hashlib.sha256()
        self.count = 0
        if checked:
            file.write(line_of({_BEGIN: _FORMAT}))

    def write(self, line: bytes) -> None:
        """Write a message."""
        self._file.write(line)
        self._digest.update(line)
        self.count += 1

    def end(self) -> None:
        """Write the last line."""
        if self._checked:
            self._file.write(line_of({_END: self.count, "sha256": self._digest.hexdigest()}))


class FrameReader:
    """Checks the frames of lines as they are read. Files without one, and several files in one, are fine."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._count = 0
        self._is_open = False

    def is_message(self, line: bytes) -> bool:
        """Whether a line is a message, and not blank or part of a frame. Raises ValueError if something is wrong with the frame."""
        if not line.strip():
            return False
        if _BEGIN.encode() in line[:20]:
            fields = read_fields(line)
            if _BEGIN in fields:
                self._begin(fields[_BEGIN])
                return False
            if _END in fields:
                self._end(fields[_END], fields.get("sha256"))
                return False
        if self._is_open:
            self._count += 1
            self._digest.update(line)
        return True

    def require_end(self) -> None:
        """Raise ValueError if the last line of a frame is missing."""
        if self._is_open:
            raise ValueError("the file is truncated: the line is missing that ends an export")

    def _begin(self, version: object) -> None:
        self.require_end()
        if version != _FORMAT:
            raise ValueError(f"a file of format {version!r:.20}: this fmq reads format {_FORMAT}")
        self._digest, self._count, self._is_open = hashlib.sha256(), 0, True

    def _end(self, count: object, digest: object) -> None:
        if not self._is_open:
            raise ValueError("the line is missing that begins this export")
        self._is_open = False
        if count != self._count:
            raise ValueError(f"{self._count:,} messages since the export began, but {count} were written")
        if digest != self._digest.hexdigest():
            raise ValueError(
                "a message above was changed since the export. To import it on purpose, delete this line and the first one"
            )
