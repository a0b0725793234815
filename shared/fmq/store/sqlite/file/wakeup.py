"""Wakes processes that wait for messages, in other containers too: all that they need to share is the database's folder.

SQLite tells no other process about a commit; a reader has to look. So a process that makes messages available opens the folder
for a moment after its commit. This writes nothing, and the kernel reports it to those who wait (inotify(7)). It is only a hint:
without inotify, or where each container has a kernel of its own, readers look from time to time, as they do anyway.
"""

import ctypes
import logging
import os
from contextlib import suppress

_log = logging.getLogger(__name__)
_IN_OPEN = 0x20
_IN_ONLYDIR = 0x0100_0000
_READ_BYTES = 65_536


def ring(folder: str) -> None:
    """Wake those who wait in ``folder``. Takes microseconds and never fails."""
    with suppress(OSError):
        os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


class Alarm:
    """Hears the rings in a folder, and the opening of any file in it, which is harmless."""

    def __init__(self, folder: str) -> None:
        """``fileno`` gets None where the system has no inotify, or has none left for this user."""
        self.fileno: int | None = None
        """A file descriptor that is readable from a ring until ``clear``; None if there is none."""
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            number = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
            if number < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))  # noqa: TRY301 - as for the next call
            self.fileno = number
            if libc.inotify_add_watch(number, os.fsencode(folder), _IN_OPEN | _IN_ONLYDIR) < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))  # noqa: TRY301 - as above
        except (AttributeError, OSError) as error:
            self.close()
            _log.info("Looking for new messages 100 times per second, since inotify is not available: %s", error)

    def clear(self) -> None:
        """Forget the rings until now. Look for messages afterwards, not before."""
        if self.fileno is not None:
            with suppress(OSError):
                os.read(self.fileno, _READ_BYTES)

    def close(self) -> None:
        """Hear nothing more."""
        if self.fileno is not None:
            os.close(self.fileno)
            self.fileno = None
