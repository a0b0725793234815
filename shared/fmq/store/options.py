"""Options for opening a store, and retention."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from fmq.message import Terms

NO_TERMS: Mapping[int, Terms] = MappingProxyType({})


class Durability(StrEnum):
    """What a commit survives."""

    FULL = "FULL"
    """A power cut. For a service that acknowledges a message after the commit."""
    NORMAL = "NORMAL"
    """The end of the process. A power cut may undo the last commits."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Options for opening a store. ``busy_seconds`` is how long to wait for another writer.

    ``tuning`` holds options of single backends: each backend reads the names that it knows and ignores the others.
    ``only_puts``: the caller stores messages, and neither claims, settles, requeues nor deletes any. A backend may be faster then.
    """

    durability: Durability = Durability.FULL
    busy_seconds: float = 10.0
    check_integrity: bool = True
    tuning: Mapping[str, int] = field(default_factory=dict)
    only_puts: bool = False


@dataclass(frozen=True, slots=True)
class Retention:
    """How long settled messages are kept, in seconds; None keeps them forever, 0 deletes them at once."""

    done_seconds: float | None = 86_400.0
    dead_seconds: float | None = None
