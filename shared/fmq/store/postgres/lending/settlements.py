"""Settles claims. The claim's token guards each transition, so that a stale claim changes no row."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from operator import itemgetter

from fmq.errors import UnknownQueue
from fmq.message import Claim
from fmq.outcome import Cause, Dead, Done, GiveBack, RetryLater, Settlement
from fmq.store.postgres.codec import storable
from fmq.store.postgres.lending.attempts import note_attempts
from fmq.store.postgres.queues import Queues
from fmq.store.postgres.server.session import Rows, Step
from fmq.store.postgres.server.translating import OutcomeUnknown
from fmq.store.postgres.statements import HELD, NOTIFY, counting, statement

_Key = tuple[str, int, int]
_Group = list[tuple[Claim, Settlement | None]]
_Groups = Sequence[tuple[str, int, _Group]]
_DOUBTS_KEPT = 100_000
_EXTEND = f"""
    WITH held AS (SELECT * FROM {HELD} AS held (id, token))
    UPDATE fmq_due_{{q}} AS due SET leased = {{now}} + %(lease)s FROM held WHERE due.id = held.id AND due.token = held.token
    RETURNING due.id, due.token, due.leased
"""
_DONE = (
    f"""
    WITH held AS (SELECT * FROM {HELD} AS held (id, token)),
    gone AS (
        DELETE FROM fmq_due_{{q}} AS due USING held WHERE due.id = held.id AND due.token = held.token
        RETURNING due.id, due.failed, due.token
    ),
    kept AS (INSERT INTO fmq_done_{{q}} (id, at, failed, token) SELECT id, {{now}}, failed, token FROM gone),
    """
    + counting("claimed=-count(*); done=count(*); handled=count(*)", "gone")
    + " SELECT id, token FROM gone"
)
_ANY = (
    """
    WITH held AS (
        SELECT * FROM unnest(
            %(ids)b::bigint[], %(tokens)b::bigint[], %(kinds)b::text[], %(delays)b::float8[], %(reasons)b::text[],
            %(causes)b::text[], %(routes)b::text[]
        ) AS held (id, token, kind, delay, reason, cause, route)
    ),
    gone AS (
        DELETE FROM fmq_due_{q} AS due USING held
        WHERE due.id = held.id AND due.token = held.token AND held.kind IN ('done', 'dead')
        RETURNING due.id, due.failed, due.token, held.kind, held.reason, held.cause
    ),
    kept AS (
        UPDATE fmq_due_{q} AS due SET token = NULL, settled = held.token, due_at = coalesce({now} + held.delay, due.due_at),
            parked = held.route,
            failed = CASE WHEN held.kind = 'retry' THEN least(due.failed, 2147483646) + 1 ELSE due.failed END,
            reason = CASE WHEN held.kind = 'retry' THEN held.reason ELSE due.reason END
        FROM held WHERE due.id = held.id AND due.token = held.token AND held.kind IN ('back', 'retry')
        RETURNING due.id, held.token, held.kind, held.reason, held.cause
    ),
    settled AS (
        SELECT id, token, kind, reason, cause FROM gone UNION ALL SELECT id, token, kind, reason, cause FROM kept
    ),
    done AS (
        INSERT INTO fmq_done_{q} (id, at, failed, token) SELECT id, {now}, failed, token FROM gone WHERE kind = 'done'
    ),
    dead AS (
        INSERT INTO fmq_dead_{q} (id, at, failed, token, reason)
        SELECT id, {now}, failed, token, reason FROM gone WHERE kind = 'dead'
    ),
    failure AS (
        SELECT id, cause, reason, %(worker)s::text AS worker FROM settled
        WHERE kind = 'retry' OR (kind = 'dead' AND cause <> %(lapsed)s)
    ),
    """
    + note_attempts("failure")
    + ", "
    + counting(
        "claimed=-count(*); pending=count(*) FILTER (WHERE kind IN ('back', 'retry')); "
        "done=count(*) FILTER (WHERE kind = 'done'); handled=count(*) FILTER (WHERE kind = 'done'); "
        "dead=count(*) FILTER (WHERE kind = 'dead'); died=count(*) FILTER (WHERE kind = 'dead'); "
        "failed=count(*) FILTER (WHERE kind = 'retry' OR (kind = 'dead' AND cause <> %(lapsed)s))",
        "settled",
    )
    + " SELECT id, token FROM settled"
)
_SETTLED = f"""
    SELECT id, token FROM {HELD} AS held (id, token)
    WHERE EXISTS (SELECT 1 FROM fmq_done_{{q}} AS done WHERE done.id = held.id AND done.token = held.token)
    OR EXISTS (SELECT 1 FROM fmq_dead_{{q}} AS dead WHERE dead.id = held.id AND dead.token = held.token)
    OR EXISTS (SELECT 1 FROM fmq_due_{{q}} AS due WHERE due.id = held.id AND due.settled = held.token)
"""


class Settlements:
    """The settling half of the role Lending."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._doubtful: set[_Key] = set()
        """Claims whose settlement may have been committed although the call failed."""

    def extend(self, claims: Sequence[Claim], *, lease: float) -> Sequence[Claim]:
        """See Lending.extend."""

        def steps(groups: _Groups) -> list[Step]:
            return [(statement(_EXTEND, number), {"lease": lease, **_held(group)}) for _, number, group in groups]

        groups, found = self._run([(claim, None) for claim in claims], steps)
        ends = {
            (name, id_, token): end
            for (name, _, _), rows in zip(groups, found, strict=True)
            for id_, token, end in rows
        }
        return [claim._replace(lease_until=ends[key]) for claim in claims if (key := _key(claim)) in ends]

    def settle(self, settlements: Iterable[tuple[Claim, Settlement]], *, worker: str) -> Sequence[Claim]:
        """See Lending.settle."""
        first: dict[_Key, tuple[Claim, Settlement]] = {}
        stale: list[Claim] = []
        for claim, settlement in settlements:
            if _key(claim) in first:
                stale.append(claim)  # only the first settlement counts
            else:
                first[_key(claim)] = (claim, settlement)

        def steps(groups: _Groups) -> list[Step]:
            made: list[Step] = []
            for _, number, group in groups:
                text, values = _settling(number, group, worker)
                made.append((text, self._queues.values(values)))
            if self._queues.notifies():
                made.append((NOTIFY.encode(), {"notify": True}))
            return made

        try:
            groups, found = self._run(first.values(), steps)
        except OutcomeUnknown:
            if len(self._doubtful) < _DOUBTS_KEPT:
                self._doubtful.update(first)
            raise
        settled = {(name, id_, token) for (name, _, _), rows in zip(groups, found, strict=False) for id_, token in rows}
        missing = [claim for key, (claim, _) in first.items() if key not in settled]
        return [*stale, *self._without_doubtful(missing, first)]

    def _without_doubtful(self, missing: Sequence[Claim], given: Iterable[_Key]) -> Sequence[Claim]:
        """Those of ``missing`` that an earlier call of unknown outcome has not settled."""
        if not self._doubtful:
            return missing
        doubtful = self._by_queue((claim, None) for claim in missing if _key(claim) in self._doubtful)
        known: set[_Key] = set()
        for name, _, group in doubtful:
            with suppress(UnknownQueue):
                known.update((name, *row) for row in self._queues.rows(_SETTLED, name, _held(group)))
        self._doubtful.difference_update(given)
        return [claim for claim in missing if _key(claim) not in known]

    def _run(
        self, pairs: Collection[tuple[Claim, Settlement | None]], steps: Callable[[_Groups], list[Step]]
    ) -> tuple[_Groups, list[Rows]]:
        """Run the steps for the claims in one transaction, without those of queues that are deleted."""
        while True:
            groups = self._by_queue(pairs)
            if not groups:
                return [], []
            with suppress(UnknownQueue):  # deleted meanwhile: its claims are left out next time
                return groups, self._queues.session.transaction(steps(groups))

    def _by_queue(self, pairs: Iterable[tuple[Claim, Settlement | None]]) -> _Groups:
        """Name, number and claims of each queue that exists, in an order in which all sessions lock their rows."""
        claims: dict[str, _Group] = defaultdict(list)
        for claim, settlement in pairs:
            claims[claim.message.queue].append((claim, settlement))
        groups: list[tuple[str, int, _Group]] = []
        for name, group in claims.items():
            with suppress(UnknownQueue):
                groups.append((name, self._queues.number(name), sorted(group, key=_id)))
        return sorted(groups, key=itemgetter(1))


def _id(pair: tuple[Claim, Settlement | None]) -> int:
    return pair[0].message.id


def _key(claim: Claim) -> _Key:
    return claim.message.queue, claim.message.id, claim.token


def _held(group: _Group) -> dict[str, object]:
    return {"ids": [claim.message.id for claim, _ in group], "tokens": [claim.token for claim, _ in group]}


def _settling(number: int, group: _Group, worker: str) -> tuple[bytes, dict[str, object]]:
    """The statement and its values; a shorter one if all messages are done, as most are."""
    if all(type(settlement) is Done for _, settlement in group):
        return statement(_DONE, number), _held(group)
    kinds, delays, reasons, causes, routes = zip(*(_columns(settlement) for _, settlement in group), strict=True)
    values: dict[str, object] = {
        **_held(group),
        "kinds": list(kinds),
        "delays": list(delays),
        "reasons": list(reasons),
        "causes": list(causes),
        "routes": list(routes),
        "worker": storable(worker),
        "lapsed": Cause.WORKER_DIED.value,  # its lapse was noted when it was claimed again
    }
    return statement(_ANY, number), values


def _columns(settlement: Settlement | None) -> tuple[str, float | None, str, str, str | None]:
    """Kind, delay, reason, cause and route. Without a delay the message keeps its old place."""
    match settlement:
        case RetryLater(delay, reason, cause):
            return "retry", float(delay), storable(reason), cause.value, None
        case Dead(reason, cause):
            return "dead", None, storable(reason), cause.value, None
        case GiveBack(delay, route):
            return "back", None if delay is None else float(delay), "", "", route and storable(route)
    return "done", None, "", "", None
