"""Turns the errors of PostgreSQL and of the network into fmq's errors."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from fmq.errors import FmqError, QueueError, StoreDamaged, StoreRefused, StoreUnavailable
from fmq.text import plain


class OutcomeUnknown(StoreUnavailable):
    """The connection ended while a call was under way: the server may have committed it."""


_DAMAGED = (errors.DataCorrupted, errors.IndexCorrupted)
_THE_CALLERS = (psycopg.DataError, psycopg.IntegrityError, UnicodeEncodeError, OverflowError)
"""Another try of the same call fails too; the store itself is sound."""


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise every error of the block as a QueueError. ``name`` is the store's, for people.

    StoreRefused if the tables are not fmq's or the user may not use them, QueueError where the call itself is wrong,
    StoreUnavailable for everything that may pass, among it OutcomeUnknown.
    """
    try:
        yield
    except FmqError:
        raise
    except _DAMAGED as error:
        raise StoreDamaged(
            f"The database {name} is damaged ({told(error)}). Restore a backup, or promote a sound standby"
        ) from error
    except (errors.InsufficientPrivilege, errors.InvalidSchemaName) as error:
        raise StoreRefused(
            f"The user of {name} lacks a right ({told(error)}). Make it the owner of the database: "
            "ALTER DATABASE … OWNER TO …"
        ) from error
    except psycopg.ProgrammingError as error:
        raise StoreRefused(
            f"The tables in {name} are not as fmq made them ({told(error)}). Restore a backup, or use another database"
        ) from error
    except _THE_CALLERS as error:
        raise QueueError(f"{name} does not take this: {told(error)}") from error
    except psycopg.OperationalError as error:
        # Without a code the server did not answer: the connection ended. With these it answered that it ends it.
        kind = OutcomeUnknown if (error.sqlstate or "08").startswith(("08", "57P0")) else StoreUnavailable
        raise kind(f"{name}: {told(error)}") from error
    except (psycopg.Error, OSError, MemoryError) as error:
        raise StoreUnavailable(f"{name}: {told(error)}") from error


def told(error: BaseException) -> str:
    """The error in one line."""
    return plain(" ".join(str(error).split())).rstrip(".") or type(error).__name__
