"""Decides whether a row or the database made a statement fail."""

from collections.abc import Iterator

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from fmq.outcome import Reject, Retry

_ROW_CLASSES = frozenset({"21", "22", "23", "44", "54", "P0"})
"""Classes of SQLSTATE (PostgreSQL, appendix A): cardinality, data, integrity, WITH CHECK OPTION, limits, and what a
trigger of the user raises. Everything else is about the connection, the server, the table or the rights."""
_FOREIGN_KEY = frozenset({"23503", "SQLITE_CONSTRAINT_FOREIGNKEY"})
ROW_ERRORS = (SQLAlchemyError, ValueError, TypeError, OverflowError)
"""The exceptions of a statement. The last three come from drivers, for values that they can't send."""


def is_of_a_row(error: Exception) -> bool:
    """Whether other rows may succeed where this one failed."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, StatementError) or not isinstance(error, SQLAlchemyError)  # a value that can't be sent
    if error.connection_invalidated:
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return state[:2] in _ROW_CLASSES
    return isinstance(error, IntegrityError | DataError)


def is_of_a_statement(error: Exception) -> bool:
    """Whether another statement may succeed with the same rows (class 42: syntax error or access rule violation)."""
    return isinstance(error, DBAPIError) and str(getattr(error.orig, "sqlstate", "")).startswith("42")


def refusal(error: Exception) -> Reject | Retry:
    """The outcome of the message whose row failed."""
    reason = f"the database rejected the row: {explain(error)}"
    # The row that it refers to may still be on its way.
    return Retry(reason=reason) if _FOREIGN_KEY.intersection(_codes(error)) else Reject(reason)


def explain(error: Exception) -> str:
    """The database's own message, without the statement and its values."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(orig).split()) or type(orig).__name__


def _codes(error: Exception) -> Iterator[str]:
    orig = error.orig if isinstance(error, DBAPIError) else error
    yield str(getattr(orig, "sqlstate", ""))
    yield str(getattr(orig, "sqlite_errorname", ""))
