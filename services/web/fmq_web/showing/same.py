"""A key for caches of what is made of large values that rarely change."""

from typing import Generic, TypeVar

_T = TypeVar("_T")


class Same(Generic[_T]):
    """Holds values, and equals another one that holds the very same objects. Comparing them would take longer than a page may."""

    __slots__ = ("held",)

    def __init__(self, *held: _T) -> None:
        self.held = held

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.held)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.held == other.held  # a tuple looks at identity first
