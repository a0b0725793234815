"""Settling what was lent: each transition is guarded by the claim's token, so that a stale one changes no row."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

from fmq.message import Claim
from fmq.outcome import Dead, Done, GiveBack, RetryLater, Settlement
from fmq.sqlite.connection import Store
from fmq.sqlite.schema import ONE_MORE

# Always another value than before, or the trigger would count too (see schema).
_CHANGED = "changed_at = iif(changed_at = :now, :now - 0.000001, :now)"
_OF_THESE = "WHERE id IN (SELECT value FROM json_each(:ids))"


class Settlements:
    """The settling half of a queue."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Claim]:
        """See Queue.extend."""
        held: list[Claim] = []
        with self._store.write():
            until = self._store.now() + lease
            for (name, token), group in _by_token(claims).items():
                kept = set(self._held(name, token, group, "UPDATE {} SET due_at = :until", until=until))
                held += [claim._replace(lease_until=until) for claim in group if claim.message.id in kept]
        return held

    def settle(self, settlements: Iterable[tuple[Claim, Settlement]]) -> Sequence[Claim]:
        """See Queue.settle."""
        done: list[Claim] = []
        back: list[Claim] = []
        single: list[tuple[Claim, RetryLater | Dead | GiveBack]] = []
        for claim, settlement in settlements:
            match settlement:
                case Done():
                    done.append(claim)
                case GiveBack(None):
                    back.append(claim)
                case RetryLater() | Dead() | GiveBack():
                    single.append((claim, settlement))
        stale: list[Claim] = []
        with self._store.write():
            for (name, token), group in _by_token(done).items():
                stale += _others(group, self._done(name, token, group))
            for (name, token), group in _by_token(back).items():
                stale += _others(group, self._wait(name, token, group, due_at=0.0))
            for claim, settlement in single:
                stale += _others([claim], self._single(claim, settlement))
        return stale

    def _single(self, claim: Claim, settlement: RetryLater | Dead | GiveBack) -> Sequence[int]:
        name, token = claim.message.queue, claim.token
        match settlement:
            case Dead(reason):
                return self._dead(name, token, claim, reason)
            case GiveBack(delay):
                return self._wait(name, token, [claim], due_at=self._store.now() + (delay or 0.0))
            case RetryLater():
                return self._retry(name, token, claim, settlement)

    def _done(self, name: str, token: int, claims: Sequence[Claim]) -> Sequence[int]:
        ids = self._held(name, token, claims, "DELETE FROM {}")
        self._store.rows(
            _done_statement(self._store.table(name)),
            {"now": self._store.now(), "ids": json.dumps(ids)},
        )
        self._count(name, claimed=-len(ids), done=len(ids))
        return ids

    def _dead(self, name: str, token: int, claim: Claim, reason: str) -> Sequence[int]:
        ids = self._held(name, token, [claim], "DELETE FROM {}")
        self._store.rows(
            f"UPDATE {self._store.table(name)} SET processed = 1, {_CHANGED}, dead_at = :wall, reason = :reason {_OF_THESE}",
            {"now": self._store.now(), "wall": self._store.wall(), "ids": json.dumps(ids), "reason": reason},
        )
        self._count(name, claimed=-len(ids), dead=len(ids))
        return ids

    def _retry(self, name: str, token: int, claim: Claim, settlement: RetryLater) -> Sequence[int]:
        ids = self._wait(name, token, [claim], due_at=self._store.now() + settlement.delay)
        self._store.rows(
            f"UPDATE {self._store.table(name)} SET {ONE_MORE}, reason = :reason {_OF_THESE}",
            {"ids": json.dumps(ids), "reason": settlement.reason},
        )
        return ids

    def _wait(self, name: str, token: int, claims: Sequence[Claim], *, due_at: float) -> Sequence[int]:
        change = (
            "UPDATE {} AS lent SET token = NULL, due_at = :due_at, received_at = "
            f"(SELECT received_at FROM {self._store.table(name)} AS message WHERE message.id = lent.id)"
        )
        ids = self._held(name, token, claims, change, due_at=due_at)
        self._count(name, claimed=-len(ids), pending=len(ids))
        return ids

    def _held(self, name: str, token: int, claims: Sequence[Claim], change: str, **values: float) -> Sequence[int]:
        """Apply ``change`` to the claims that still hold; the ids of those."""
        rows = self._store.rows(
            _held_statement(change, self._store.lent(name)),
            {**values, "ids": json.dumps([claim.message.id for claim in claims]), "token": token},
        )
        return [row[0] for row in rows]

    def _count(self, name: str, *, claimed: int, pending: int = 0, done: int = 0, dead: int = 0) -> None:
        """Add to the counters: one statement a batch, where a trigger would be one a row."""
        self._store.rows(
            "UPDATE fmq_queue SET pending = pending + ?, claimed = claimed + ?, done = done + ?, dead = dead + ? WHERE name = ?",
            (pending, claimed, done, dead, name),
        )


@lru_cache(maxsize=1_024)
def _done_statement(table: str) -> str:
    return f"UPDATE {table} SET processed = 1, {_CHANGED}, reason = NULL {_OF_THESE}"


@lru_cache(maxsize=1_024)
def _held_statement(change: str, lent: str) -> str:
    return f"{change.format(lent)} {_OF_THESE} AND token = :token RETURNING id"


def _by_token(claims: Iterable[Claim]) -> dict[tuple[str, int], list[Claim]]:
    groups: dict[tuple[str, int], list[Claim]] = defaultdict(list)
    for claim in claims:
        groups[claim.message.queue, claim.token].append(claim)
    return groups


def _others(claims: Sequence[Claim], ids: Sequence[int]) -> list[Claim]:
    """The claims on none of ``ids``."""
    if len(ids) == len(claims):
        return []
    known = set(ids)
    return [claim for claim in claims if claim.message.id not in known]
