"""Converts values of messages (bytes, text, numbers or JSON) to values of columns."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import types
from sqlalchemy.dialects.postgresql import DOMAIN
from sqlalchemy.types import TypeEngine

Convert = Callable[[Any], object]
"""Takes any value except None. Raises ValueError, TypeError or ArithmeticError if the column can't hold it."""

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})


class Conversion(NamedTuple):
    """Converts the values of a column. Those of the type ``keeps`` it would return as they are."""

    convert: Convert
    keeps: type | None = None


def conversion(kind: TypeEngine[Any], *, dialect: str) -> Conversion:
    """The conversion to the column type ``kind``."""
    if isinstance(kind, DOMAIN):
        kind = kind.data_type
    if isinstance(kind, types.DateTime):
        # SQLite keeps text, whose zone would be lost: always UTC there.
        has_zone = getattr(kind, "timezone", False) and dialect != "sqlite"
        return Conversion(_moment if has_zone else _moment_without_zone)
    for column_type, convert in _CONVERSIONS:
        if isinstance(kind, column_type):
            return convert
    return Conversion(_as_it_is)


def _boolean(value: Any) -> bool:
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    word = _plain(value).lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("neither true nor false")
    return word in _TRUE


def _integer(value: Any) -> int:
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError("not a whole number")
        return int(value)
    return int(value) if isinstance(value, int) else int(_plain(value))


def _float(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float(_plain(value))


def _decimal(value: Any) -> Decimal:
    return Decimal(
        int(value) if isinstance(value, bool) else str(value) if isinstance(value, int | float) else _plain(value)
    )


def _text(value: Any) -> str:
    if isinstance(value, str | bytes):
        return _plain(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else _text(value).encode()


def _json(value: Any) -> object:
    return json.loads(value) if isinstance(value, bytes) else value


def _uuid(value: Any) -> UUID:
    return UUID(_plain(value))


def _moment(value: Any) -> datetime:
    """Unix seconds, or ISO 8601; without a zone it is taken for UTC."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(_plain(value))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _moment_without_zone(value: Any) -> datetime:
    return _moment(value).astimezone(UTC).replace(tzinfo=None)


def _date(value: Any) -> date:
    return _moment(value).astimezone(UTC).date()


def _time(value: Any) -> time:
    return time.fromisoformat(_plain(value))


def _plain(value: Any) -> str:
    """Text out of text or UTF-8. Nothing else is one."""
    if isinstance(value, bytes):
        return value.decode()
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is not text")
    return value


def _as_it_is(value: Any) -> object:
    """For types that only the database knows and converts from text, and for columns without a type."""
    return _text(value) if isinstance(value, dict | list) else value


_CONVERSIONS: tuple[tuple[type[TypeEngine[Any]], Conversion], ...] = (
    (types.Boolean, Conversion(_boolean, bool)),
    (types.Integer, Conversion(_integer, int)),
    (types.Float, Conversion(_float, float)),
    (types.Numeric, Conversion(_decimal)),
    (types.JSON, Conversion(_json)),
    (types.LargeBinary, Conversion(_bytes, bytes)),
    (types.Uuid, Conversion(_uuid)),
    (types.Date, Conversion(_date)),
    (types.Time, Conversion(_time)),
    (types.ARRAY, Conversion(lambda value: value)),
    (types.String, Conversion(_text, str)),
)
"""From the more special to the more general."""
