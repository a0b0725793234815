"""Conversion of values for columns."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import types
from sqlalchemy.types import TypeEngine

from fmq_processor.handlers.sql.conversion import conversion

_OF_TYPE: dict[type, Sequence[Any]] = {
    bool: (True, False),
    int: (0, -1, 2**70),
    float: (0.5, float("inf")),
    bytes: (b"", b"\xff"),
    str: ("", "1", "\0ä"),
}


@pytest.mark.parametrize(
    "kind",
    [
        types.Boolean(),
        types.BigInteger(),
        types.Float(),
        types.Numeric(),
        types.LargeBinary(),
        types.Text(),
        types.Enum("1"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_what_is_kept_is_what_a_conversion_returns(kind: TypeEngine[Any], dialect: str) -> None:
    """Values of the type that needs no conversion come out of it as they went in."""
    convert, keeps = conversion(kind, dialect=dialect)
    for value in _OF_TYPE[keeps] if keeps else ():
        assert convert(value) == value
        assert type(convert(value)) is keeps
