"""Secrets in files, which are replaced while a service runs: Kubernetes Secrets, Vault, rotated passwords."""

import logging
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

_log = logging.getLogger(__name__)
_LARGEST = 1024 * 1024


class SecretFile(SecretStr):
    """The secret in a file. ``get_secret_value`` returns what the file holds at that moment.

    The line break at its end and a byte order mark are not part of the secret. If the file later can't be read, is
    empty or fails ``check``, the last good value stays in use, and a warning is logged once. A file that is not regular (a
    pipe) is read only once. Any thread may read it.

    ``called`` is the name of the setting in logs. ``check`` raises ValueError, without the value, for an invalid value.
    Raises OSError and ValueError if the file can't be used at the start.
    """

    def __init__(self, path: str, called: str, check: Callable[[str], None]) -> None:
        with Path(path).open("rb") as file:  # waits, as a pipe's writer may need a moment
            super().__init__(_text(file.read(_LARGEST + 1)))
            self._changes = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        self._path = path
        self._called = called
        self._check = check
        self._problem = ""
        self._lock = threading.Lock()

    def get_secret_value(self) -> str:
        """Read the file again and return the secret."""
        with self._lock:
            if self._changes:
                self._read_again()
            return self._secret_value

    @property
    def last(self) -> SecretStr:
        """The value in use, without reading the file again."""
        return SecretStr(self._secret_value)

    def _read_again(self) -> None:
        problem, changed = "", False
        try:
            text = _text(_read(self._path))
            changed = text != self._secret_value
            if changed:
                self._check(text)
                self._secret_value = text
        except OSError as error:
            problem = error.strerror or str(error)
        except ValueError as error:
            problem = str(error)
        if problem and problem != self._problem:
            _log.warning(
                "%s=%r can't be used any more (%s); using the last good value", self._called, self._path, problem
            )
        elif changed and not problem:
            _log.info("%s=%r has a new value; using it from now on", self._called, self._path)
        self._problem = problem


def _read(path: str) -> bytes:
    """The file, if it still is one. Raises OSError and ValueError; never waits for a pipe's writer."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is not a regular file any more")
        return file.read(_LARGEST + 1)


def _text(data: bytes) -> str:
    """The secret in a file's content. Raises ValueError with what is wrong, without the content."""
    if len(data) > _LARGEST:
        raise ValueError(f"it is larger than {_LARGEST} bytes")
    try:
        text = data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    if not text:
        raise ValueError("it is empty")
    return text
