"""The users' file: read again when it changes."""

import logging
import os
import stat
import threading
from pathlib import Path

from fmq.errors import SettingsError
from fmq_web.access.users import BrokenUsers, Users, parse_users

_log = logging.getLogger(__name__)
_LARGEST = 1024 * 1024
_SETTING = "FMQ_WEB_USERS_FILE"


class UsersFile:
    """The users in a file. ``current`` returns what the file holds at that moment.

    If the file can't be read later or has a broken line, the last good users stay, and a warning is logged once per change.
    Any thread may call it. Raises SettingsError if the file can't be used at the start.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        try:
            self._seen, self._users = self._mark(), self._read()
        except (OSError, ValueError) as error:
            problems = error.problems if isinstance(error, BrokenUsers) else [_reason(error)]
            raise SettingsError("\n".join(f"{_SETTING}={path!r}: {problem}" for problem in problems)) from None

    def current(self) -> Users:
        """The users of now."""
        with self._lock:
            mark = self._mark()
            if mark != self._seen:
                self._seen = mark
                self._read_again()
            return self._users

    def _read_again(self) -> None:
        try:
            self._users = self._read()
        except (OSError, ValueError) as error:
            _log.warning(
                "%s=%r can't be used any more (%s); the last good users stay", _SETTING, str(self._path), _reason(error)
            )
        else:
            _log.info("%s=%r has changed; using it from now on", _SETTING, str(self._path))

    def _mark(self) -> tuple[int, ...]:
        """Changes whenever the file does."""
        try:
            of = os.stat(self._path)  # noqa: PTH116 - called for each request
        except OSError as error:
            return (error.errno or 0,)
        return of.st_ino, of.st_dev, of.st_size, of.st_mtime_ns, of.st_ctime_ns

    def _read(self) -> Users:
        with open(self._path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("it is not a regular file")
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ValueError(f"it is larger than {_LARGEST} bytes")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8 text") from None
        return parse_users(text)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
