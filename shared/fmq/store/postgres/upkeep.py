"""Retention, in short steps."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from fmq.errors import UnknownQueue
from fmq.store.options import Retention
from fmq.store.postgres.queues import TRY_LOCK, UPKEEP_LOCK, Queues
from fmq.store.postgres.server.session import Ask
from fmq.store.postgres.statements import counting, statement

_SWEEP = """
    WITH past AS (
        SELECT id FROM {table} WHERE at <= {now} - %(seconds)s ORDER BY at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ),
    gone AS (DELETE FROM {table} AS settled USING past WHERE settled.id = past.id RETURNING settled.id),
    attempts AS (DELETE FROM fmq_attempt_{q} AS attempt USING gone WHERE attempt.id = gone.id),
    messages AS (DELETE FROM fmq_msg_{q} AS message USING gone WHERE message.id = gone.id),
"""
_COUNT = " SELECT count(*) FROM gone"
_SWEEP_DONE = _SWEEP.replace("{table}", "fmq_done_{q}") + counting("done=-count(*)", "gone") + _COUNT
_SWEEP_DEAD = _SWEEP.replace("{table}", "fmq_dead_{q}") + counting("dead=-count(*)", "gone") + _COUNT
_FORGET_KEYS = statement(
    "WITH past AS (SELECT queue, digest FROM fmq_key WHERE expires_at <= {now} ORDER BY expires_at LIMIT %(limit)s "
    "FOR UPDATE SKIP LOCKED), gone AS (DELETE FROM fmq_key AS known USING past "
    "WHERE known.queue = past.queue AND known.digest = past.digest RETURNING 1) SELECT count(*) FROM gone"
)


class Upkeep:
    """Does one step of upkeep at a time. The server's autovacuum does the rest."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues

    def step(
        self, names: Sequence[str], retention: Retention, limit: int, on_discarded: Callable[[str, int], None] | None
    ) -> int:
        """See Upkeep.maintain. Of several services that maintain the store, one does; the others find nothing to do."""
        numbers = {}
        for name in names:
            with suppress(UnknownQueue):
                numbers[name] = self._queues.number(name)
        periods = ((_SWEEP_DONE, retention.done_seconds), (_SWEEP_DEAD, retention.dead_seconds))

        dead: dict[str, int] = {}

        def work(ask: Ask) -> int:
            dead.clear()
            if not ask(statement(TRY_LOCK, UPKEEP_LOCK), {})[0][0]:
                return 0
            deleted = 0
            for name, number in numbers.items():
                for template, seconds in periods:
                    if seconds is not None:
                        values = self._queues.values({"seconds": seconds, "limit": limit})
                        count = ask(statement(template, number), values)[0][0]
                        deleted += count
                        if count and template is _SWEEP_DEAD:
                            dead[name] = count
            return deleted + int(ask(_FORGET_KEYS, {"limit": limit})[0][0])

        try:
            deleted = self._queues.session.interactive(work)
        except UnknownQueue:  # deleted meanwhile
            return self.step(names, retention, limit, on_discarded)
        if on_discarded is not None:
            for name, count in dead.items():
                on_discarded(name, count)
        return deleted
