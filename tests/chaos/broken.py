"""Ways to be wrong, for control runs: each breaks one promise, and the run has to notice."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from fmq.message import Claim
from fmq.outcome import Done
from fmq.store.sqlite.file.open_files import OpenFiles
from fmq.store.sqlite.store import SqliteStore
from fmq_listener.intake.ingest import Ingest
from fmq_listener.mqtt.drain import Drain
from fmq_listener.mqtt.packets.batch import Batch
from fmq_listener.mqtt.subscriptions.requests import Subscriptions

_HELD = 1
_SHORT_LEASE = 0.02
_SILENCE = 3.0
_SLOW_STORE = 0.02
_silences: WeakKeyDictionary[Drain, tuple[int, float]] = WeakKeyDictionary()


def _acknowledge_first() -> None:
    """PUBACK before the commit, with a store so slow that the broker has read it by then."""

    def take(ingest: Ingest, batch: Batch) -> None:
        ingest._session.acknowledge(batch)
        time.sleep(_SLOW_STORE)
        ingest._store.put(batch.messages)

    setattr(Ingest, "_take", take)  # noqa: B010 - mypy takes no assignment to a method


def _settle_first() -> None:
    """Every message is settled as soon as it is claimed, before the handler has seen it."""
    real = SqliteStore.claim

    def claim(queue: SqliteStore, name: str, limit: int, **more: Any) -> Sequence[Claim]:  # noqa: ANN401
        claims = real(queue, name, limit, **more)
        queue.settle([(one, Done()) for one in claims])
        return claims

    setattr(SqliteStore, "claim", claim)  # noqa: B010 - mypy takes no assignment to a method


def _lend_twice() -> None:
    """The store keeps leases for a moment only, and says otherwise."""
    real = SqliteStore.claim

    def claim(queue: SqliteStore, name: str, limit: int, *, lease: float, **more: Any) -> Sequence[Claim]:  # noqa: ANN401
        claims = real(queue, name, limit, lease=_SHORT_LEASE, **more)
        return [one._replace(lease_until=one.lease_until - _SHORT_LEASE + lease) for one in claims]

    setattr(SqliteStore, "claim", claim)  # noqa: B010 - mypy takes no assignment to a method


def _ignore_order() -> None:
    """Claims as if order did not matter."""
    real = SqliteStore.claim

    def claim(queue: SqliteStore, name: str, limit: int, **more: Any) -> Sequence[Claim]:  # noqa: ANN401
        return real(queue, name, limit, **{**more, "ordered": False})

    setattr(SqliteStore, "claim", claim)  # noqa: B010 - mypy takes no assignment to a method


def _trust_the_session() -> None:
    """Takes a session that the broker has kept for a proof that it holds every subscription."""
    real = Subscriptions.start

    def start(subscriptions: Subscriptions, **more: Any) -> None:  # noqa: ANN401
        ledger = subscriptions._ledger
        if all(ledger._noted.get(one.text) == _HELD for one in ledger.wanted):
            subscriptions._started = True
            subscriptions._granted.update(one.text for one in ledger.wanted)
            subscriptions._report()
        else:
            real(subscriptions, **more)

    setattr(Subscriptions, "start", start)  # noqa: B010 - mypy takes no assignment to a method


def _believe_silence() -> None:
    """Takes a broker that sends nothing for a while for one that holds nothing."""

    def done(drain: Drain) -> bool:
        now = time.monotonic()
        if (known := _silences.get(drain)) is None or known[0] != drain._received_before:
            _silences[drain] = known = drain._received_before, now
        return now - known[1] > _SILENCE

    setattr(Drain, "done", property(done))  # noqa: B010 - mypy takes no assignment to a property


def _never_look() -> None:
    """Takes the files that are open for those that the path names."""
    setattr(OpenFiles, "require", lambda _: None)  # noqa: B010 - mypy takes no assignment to a method


BROKEN: Mapping[str, Callable[[], None]] = {
    "acknowledges before it stores": _acknowledge_first,
    "settles before it handles": _settle_first,
    "lends what is lent": _lend_twice,
    "ignores the order": _ignore_order,
    "takes 3 s of silence for the end of a backlog": _believe_silence,
    "never looks whether its files are there": _never_look,
    "subscribes only where the session is new": _trust_the_session,
}
