"""How a version of fmq sees a database that may be a store."""

from enum import Enum, auto
from typing import NamedTuple


class Kind(Enum):
    """Whether a database is a store, and whether this version of fmq can use it."""

    EMPTY = auto()
    """It has no table that belongs to fmq yet, and may become a store."""
    CURRENT = auto()
    OLDER = auto()
    """A store that ``migrate`` brings up to date."""
    TOO_OLD = auto()
    NEWER = auto()
    FOREIGN = auto()
    """It belongs to another program."""


class Recognized(NamedTuple):
    """``version`` is the schema version, or 0 if the database is not a store; ``latest`` is the one that this fmq knows."""

    kind: Kind
    version: int
    latest: int
    strange: str = ""
    """What is strange about a database that is not fmq's."""

    @property
    def is_store(self) -> bool:
        """Whether the database is a store of any version."""
        return self.kind not in (Kind.EMPTY, Kind.FOREIGN)

    def refusal(self, name: str) -> str | None:
        """Why this version of fmq can't use the database ``name``; None if it can."""
        match self.kind:
            case Kind.FOREIGN:
                return f"{name} is not an fmq database{self.strange}. It was not changed. Use another one"
            case Kind.NEWER:
                return (
                    f"{name} was written by a newer fmq (schema {self.version}, this one knows {self.latest}). "
                    "It was not changed. Use that version of fmq, or a backup from before its first start"
                )
            case Kind.TOO_OLD:
                return (
                    f"{name} was written by an fmq from before its first release (schema {self.version}). It was "
                    "not changed. Drain it with that version, or set it aside: fmq set-aside"
                )
        return None
