"""Settles claims. The claim's token guards each transition, so that a stale claim changes no row."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

from fmq.errors import UnknownQueue
from fmq.message import Claim
from fmq.outcome import Cause, Dead, Done, GiveBack, RetryLater, Settlement
from fmq.store.sqlite.attempts import note_attempt
from fmq.store.sqlite.database import Database
from fmq.store.sqlite.lending.runs import is_run
from fmq.store.sqlite.schema.tables import ONE_MORE

# Always another value than before, or the trigger would count too (see schema).
_CHANGED = "changed_at = iif(changed_at = :now, :now - 0.000001, :now)"
_OF_THESE = "WHERE id IN (SELECT value FROM json_each(:ids))"
_IN_RUN = "WHERE id BETWEEN :first AND :last"


class Settlements:
    """The settling half of the role Lending."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Claim]:
        """See Lending.extend."""
        held: list[Claim] = []
        try:
            with self._database.write():
                until = self._database.now() + lease
                for (name, token), group in _by_token(claims).items():
                    kept = set(self._held(name, token, group, "UPDATE {} SET due_at = :until", until=until))
                    held += [claim._replace(lease_until=until) for claim in group if claim.message.id in kept]
        except UnknownQueue:
            there = self._there(claims)
            return self.extend([claim for claim in claims if claim.message.queue in there], lease=lease)
        return held

    def settle(self, settlements: Iterable[tuple[Claim, Settlement]], *, worker: str) -> Sequence[Claim]:
        """See Lending.settle."""
        pairs = list(settlements)
        try:
            return self._settle(pairs, worker)
        except UnknownQueue:  # a queue is deleted only when none of its messages is claimed: these claims are stale
            there = self._there([claim for claim, _ in pairs])
            stale = [claim for claim, _ in pairs if claim.message.queue not in there]
            left = [(claim, settlement) for claim, settlement in pairs if claim.message.queue in there]
            return [*stale, *self.settle(left, worker=worker)]

    def _there(self, claims: Iterable[Claim]) -> set[str]:
        """The queues of the claims that still exist."""
        with self._database.read():
            return {name for name in {claim.message.queue for claim in claims} if self._database.has(name)}

    def _settle(self, settlements: Sequence[tuple[Claim, Settlement]], worker: str) -> Sequence[Claim]:
        done = [claim for claim, settlement in settlements if isinstance(settlement, Done)]  # nearly always all
        back: dict[GiveBack, list[Claim]] = defaultdict(list)
        single: list[tuple[Claim, RetryLater | Dead]] = []
        for claim, settlement in settlements if len(done) < len(settlements) else ():
            match settlement:
                case GiveBack():
                    back[settlement].append(claim)
                case RetryLater() | Dead():
                    single.append((claim, settlement))
        stale: list[Claim] = []
        with self._database.write():
            groups = _by_token(done)
            for (name, token), group in groups.items():
                stale += _others(group, self._done(name, token, group))
            for settlement, given_back in back.items():
                for (name, token), group in _by_token(given_back).items():
                    stale += _others(group, self._give_back(name, token, group, settlement))
            for claim, settlement in single:
                stale += _others([claim], self._single(claim, settlement, worker))
            names = {name for name, _ in groups} | {claim.message.queue for claim, _ in single}
            # Others may have what comes back, and what comes next in order.
            wakes = bool(back) or any(self._is_ordered(name) for name in names)
        if wakes:
            self._database.wake_others()
        return stale

    def _is_ordered(self, name: str) -> bool:
        return bool(self._database.of_queue(name, "ordered")[0])

    def _single(self, claim: Claim, settlement: RetryLater | Dead, worker: str) -> Sequence[int]:
        name, token = claim.message.queue, claim.token
        if isinstance(settlement, Dead):
            return self._dead(name, token, claim, settlement, worker)
        return self._retry(name, token, claim, settlement, worker)

    def _give_back(self, name: str, token: int, claims: Sequence[Claim], settlement: GiveBack) -> Sequence[int]:
        due_at = 0.0 if settlement.delay is None else self._database.now() + settlement.delay
        return self._wait(name, token, claims, due_at=due_at, parked=settlement.route)

    def _done(self, name: str, token: int, claims: Sequence[Claim]) -> Sequence[int]:
        table = self._database.table(name)
        ids: Sequence[int] = [claim.message.id for claim in claims]
        values: dict[str, float | str] = {"now": self._database.now()}
        if is_run(ids) and self._end_all(name, token, ids[0], ids[-1]):
            self._database.rows(_done_statement(table, _IN_RUN), {**values, "first": ids[0], "last": ids[-1]})
        else:
            ids = self._held(name, token, claims, "DELETE FROM {}")
            self._database.rows(_done_statement(table, _OF_THESE), {**values, "ids": json.dumps(ids)})
        self._count(name, claimed=-len(ids), done=len(ids))
        return ids

    def _end_all(self, name: str, token: int, first: int, last: int) -> bool:
        """End the claims of the messages from ``first`` to ``last``, if all of them still hold. Returns whether they did."""
        run, lent = {"first": first, "last": last}, self._database.lent(name)
        held = self._database.rows(f"SELECT count(*) FROM {lent} {_IN_RUN} AND token = :token", {**run, "token": token})
        if held[0][0] < last - first + 1:
            return False
        self._database.rows(f"DELETE FROM {lent} {_IN_RUN}", run)
        return True

    def _dead(self, name: str, token: int, claim: Claim, settlement: Dead, worker: str) -> Sequence[int]:
        ids = self._held(name, token, [claim], "DELETE FROM {}")
        self._database.rows(
            f"UPDATE {self._database.table(name)} SET processed = 1, {_CHANGED}, dead_at = :wall, reason = :reason {_OF_THESE}",
            {
                "now": self._database.now(),
                "wall": self._database.wall(),
                "ids": json.dumps(ids),
                "reason": settlement.reason,
            },
        )
        failed = (
            0 if settlement.cause is Cause.WORKER_DIED else len(ids)
        )  # its lapse was noted when it was claimed again
        if failed:
            note_attempt(self._database, name, ids[0], cause=settlement.cause, reason=settlement.reason, worker=worker)
        self._count(name, claimed=-len(ids), dead=len(ids), failed=failed)
        return ids

    def _retry(self, name: str, token: int, claim: Claim, settlement: RetryLater, worker: str) -> Sequence[int]:
        ids = self._wait(name, token, [claim], due_at=self._database.now() + settlement.delay, failed=True)
        self._database.rows(
            f"UPDATE {self._database.table(name)} SET {ONE_MORE}, reason = :reason {_OF_THESE}",
            {"ids": json.dumps(ids), "reason": settlement.reason},
        )
        if ids:
            note_attempt(self._database, name, ids[0], cause=settlement.cause, reason=settlement.reason, worker=worker)
        return ids

    def _wait(
        self,
        name: str,
        token: int,
        claims: Sequence[Claim],
        *,
        due_at: float,
        failed: bool = False,
        parked: str | None = None,
    ) -> Sequence[int]:
        change = (
            "UPDATE {} AS lent SET token = NULL, due_at = :due_at, parked = :parked, received_at = "
            f"(SELECT received_at FROM {self._database.table(name)} AS message WHERE message.id = lent.id)"
        )
        ids = self._held(name, token, claims, change, due_at=due_at, parked=parked)
        self._count(name, claimed=-len(ids), pending=len(ids), failed=len(ids) if failed else 0)
        return ids

    def _held(
        self, name: str, token: int, claims: Sequence[Claim], change: str, **values: float | str | None
    ) -> Sequence[int]:
        """Apply ``change`` to the claims that still hold. Returns their ids."""
        rows = self._database.rows(
            _held_statement(change, self._database.lent(name)),
            {**values, "ids": json.dumps([claim.message.id for claim in claims]), "token": token},
        )
        return [row[0] for row in rows]

    def _count(
        self, name: str, *, claimed: int, pending: int = 0, done: int = 0, dead: int = 0, failed: int = 0
    ) -> None:
        """Add to the counters: one statement per batch, where a trigger would run once per row."""
        self._database.rows(
            "UPDATE fmq_queue SET pending = pending + ?1, claimed = claimed + ?2, done = done + ?3, dead = dead + ?4, "
            "handled = handled + ?3, died = died + ?4, failed = failed + ?5 WHERE name = ?6",
            (pending, claimed, done, dead, failed, name),
        )


@lru_cache(maxsize=1_024)
def _done_statement(table: str, which: str) -> str:
    return f"UPDATE {table} SET processed = 1, {_CHANGED}, reason = NULL {which}"


@lru_cache(maxsize=1_024)
def _held_statement(change: str, lent: str) -> str:
    return f"{change.format(lent)} {_OF_THESE} AND token = :token RETURNING id"


def _by_token(claims: Sequence[Claim]) -> dict[tuple[str, int], list[Claim]]:
    if len(one := {(claim.message.queue, claim.token) for claim in claims}) == 1:
        return {one.pop(): list(claims)}
    groups: dict[tuple[str, int], list[Claim]] = defaultdict(list)
    for claim in claims:
        groups[claim.message.queue, claim.token].append(claim)
    return groups


def _others(claims: Sequence[Claim], ids: Sequence[int]) -> list[Claim]:
    """The claims whose message is not among ``ids``."""
    if len(ids) == len(claims):
        return []
    known = set(ids)
    return [claim for claim in claims if claim.message.id not in known]
