"""The roles of a store. Each user names the one that it needs.

Nothing here knows of SQL, MQTT or files. ``fmq.store.backends`` opens a store by its URL; the suites in ``tests/contract`` and
``tests/model`` run against every backend. docs/adr/0023 says for which engines the roles are meant.

A store is one connection, for one thread. Every method may raise StoreUnavailable (try again), StoreRefused (the store can't be
used any more) and, where it names a queue, UnknownQueue. Each call that writes is one commit: all of it takes effect, or nothing.

After StoreUnavailable that is not always known, if the store is on another host and the connection ended before the answer:

* ``put``: the messages may be stored. Read ``receipts`` again before storing them again.
* ``settle``: repeat it. What the first call has settled is not stale then.
* ``claim``: what nobody has received is given back by the next claim on the same connection, and no attempt is counted.

Leases, delays, keys and retention are measured by the store's time: on one host the machine's steady clock, else the server's. When
the only host boots anew, all leases are over; on a server they last.
"""

from typing import Protocol, Self

from fmq.store.roles.figures import Statistics
from fmq.store.roles.moving import Moving
from fmq.store.roles.operating import Audit, Operating
from fmq.store.roles.serving import Identity, Intake, Lending, Notes, Pacing, Parking, Receipts, Upkeep

__all__ = [
    "Audit",
    "Identity",
    "Intake",
    "Lending",
    "Moving",
    "Notes",
    "Operating",
    "Pacing",
    "Parking",
    "Receipts",
    "Statistics",
    "Store",
    "Upkeep",
]


class Store(Intake, Lending, Parking, Statistics, Operating, Moving, Audit, Identity, Pacing, Upkeep, Protocol):
    """All roles in one connection."""

    def close(self) -> None:
        """Close the connection. Claims that are still held end with their lease."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
