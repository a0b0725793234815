"""Turns the errors of SQLite, the operating system and Python into fmq's errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from fmq.errors import FmqError, QueueError, StoreDamaged, StoreRefused, StoreUnavailable

_DAMAGED = (apsw.CorruptError, apsw.NotADBError)
_THE_CALLERS = (apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, OverflowError, UnicodeEncodeError)
"""Another try of the same call fails too; the store itself is sound."""
_MISUSE = (
    apsw.AuthError,
    apsw.BindingsError,
    apsw.ConnectionClosedError,
    apsw.CursorClosedError,
    apsw.ForkingViolationError,
    apsw.IncompleteExecutionError,
    apsw.MisuseError,
    apsw.ThreadingViolationError,
)
_REST = (apsw.Error, OSError, MemoryError)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise every error of the block as a QueueError.

    StoreDamaged for a damaged file, StoreRefused for one whose tables somebody has changed, QueueError where the call itself
    is wrong, StoreUnavailable for everything that may pass.
    """
    try:
        yield
    except FmqError:
        raise
    except _DAMAGED as error:
        raise StoreDamaged(damage(path, str(error))) from error
    except apsw.SQLError as error:
        raise StoreRefused(
            f"the tables in {path} are not as fmq made them ({error}). Restore a backup, or keep the file and begin a new one "
            "with: fmq set-aside"
        ) from error
    except UnicodeDecodeError as error:
        raise StoreRefused(f"{path} holds text that is not UTF-8 in fmq's own tables: restore a backup") from error
    except _THE_CALLERS as error:
        raise QueueError(f"{path} does not take this: {error}") from error
    except _MISUSE as error:
        raise QueueError(f"{path}: {type(error).__name__}: {error}") from error
    except _REST as error:
        raise StoreUnavailable(f"{path}: {str(error) or type(error).__name__}") from error


def damage(path: Path, what: str) -> str:
    """The message for an operator about a damaged file."""
    return (
        f"{path} is damaged or not an SQLite database ({what}). It was not changed. If it is another file, correct "
        f"FMQ_QUEUE_URL. Otherwise restore a backup, or set it aside and start a new one: fmq set-aside"
    )
