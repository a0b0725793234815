"""From a template to the statement of a queue.

In a template ``{q}`` is the queue's number, ``{now}`` the store's time, ``{wall}`` Unix time and ``{short}`` a topic that fits into
an index. All values are bound.
"""

from functools import lru_cache

from fmq.store.postgres.timekeeping import NOW, WALL

_SHORT_TOPIC = (
    "CASE WHEN octet_length(topic) <= 200 THEN topic "
    "ELSE left(topic, 40) || encode(sha256(convert_to(topic, 'UTF8')), 'hex') END"
)
NOTIFY = "SELECT CASE WHEN %(notify)s THEN pg_notify('fmq', '') END"
"""SQL: wake the sessions that wait, when the transaction commits."""
HELD = "unnest(%(ids)b::bigint[], %(tokens)b::bigint[])"
"""SQL: the ids and tokens of claims, in the order of the ids."""


@lru_cache(maxsize=8_192)
def statement(template: str, queue: int = 0) -> bytes:
    """The statement of ``template`` for the queue with the number ``queue``."""
    for name, text in (("{q}", str(queue)), ("{now}", NOW), ("{wall}", WALL), ("{short}", _SHORT_TOPIC)):
        template = template.replace(name, text)
    return template.encode()


def counting(changes: str, source: str) -> str:
    """SQL that adds to a queue's counters, for a WITH clause: ``changes`` maps counters to expressions over ``source``.

    ``stored=count(*), …``; nothing is written if ``source`` is empty.
    """
    pairs = [one.strip().split("=", 1) for one in changes.split(";")]
    given = ", ".join(f"{expression} AS {counter}" for counter, expression in pairs)
    sets = ", ".join(f"{counter} = sums.{counter} + change.{counter}" for counter, _ in pairs)
    return (
        f"counted AS (UPDATE fmq_count AS sums SET {sets} FROM (SELECT count(*) AS rows, {given} FROM {source}) AS change "
        "WHERE sums.queue = {q} AND sums.slot = %(slot)s AND change.rows > 0)"
    )
