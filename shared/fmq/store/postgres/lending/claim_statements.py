"""The SQL of claims."""

from fmq.store.postgres.codec import MESSAGE_COLUMNS
from fmq.store.postgres.lending.attempts import WORKER_DIED, note_attempts
from fmq.store.postgres.statements import counting
from fmq.store.postgres.timekeeping import NOW

# Whether the queue may be claimed from is read in the statement that lends, after the lock that pause() takes too.
_FLAGS = """
    WITH RECURSIVE flags AS MATERIALIZED (
        SELECT ordered, paused_at IS NOT NULL AS paused,
            ordered IS NOT DISTINCT FROM %(ordered)s AND paused_at IS NULL AS lends FROM fmq_queue WHERE number = {q}
    ),"""
# Whether a lease ran out just now, and whether this or the last attempt ended with the worker's death.
_STATE = f"token IS NOT NULL AS expired, token IS NOT NULL OR {WORKER_DIED} AS suspect"
_LONGEST_DUE = """
    candidate AS MATERIALIZED (
        SELECT id, ctid AS place, size, {state}, CASE WHEN token IS NULL THEN due_at ELSE leased END AS since
        FROM fmq_due_{q} AS due
        WHERE due_at <= {now} AND (token IS NULL OR leased <= {now}) AND (SELECT lends FROM flags)
        ORDER BY due_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ),"""
_PARKED_FIRST = """
    parked AS MATERIALIZED (
        SELECT id, ctid AS place, size, {state}, '-infinity'::float8 AS since FROM fmq_due_{q} AS due
        WHERE parked = %(route)s::text AND token IS NULL AND (SELECT lends FROM flags)
        ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ),
    due AS MATERIALIZED (
        SELECT id, ctid AS place, size, {state}, CASE WHEN token IS NULL THEN due_at ELSE leased END AS since
        FROM fmq_due_{q} AS due
        WHERE due_at <= {now} AND (token IS NULL OR leased <= {now}) AND (SELECT lends FROM flags)
            AND parked IS DISTINCT FROM %(route)s::text
        ORDER BY due_at, id LIMIT (SELECT %(limit)s - count(*) FROM parked) FOR UPDATE SKIP LOCKED
    ),
    candidate AS MATERIALIZED (SELECT * FROM parked UNION ALL SELECT * FROM due),"""
# A step from topic to topic, past all messages behind the first one of each, so that the cost grows with the topics that wait and
# not with the backlog. It starts after the topic where the last claim ended, and goes round. A topic is left out while any of its
# messages is lent: also when the one that is lent is not the first any more, since an operator has requeued an older one.
_HEADS = """
    busy AS MATERIALIZED (SELECT topic FROM fmq_due_{q} WHERE token IS NOT NULL AND leased > {now}),
    walk (topic, id, due_at, token, failed, size, place, parked, round, n) AS (
        SELECT %(after)s::text COLLATE "C", 0::bigint, 'infinity'::float8, NULL::bigint, 0, 0::bigint, '(0,0)'::tid, NULL::text, false, 0::bigint
        WHERE (SELECT lends FROM flags)
        UNION ALL
        SELECT next.*, walk.n + 1 FROM walk, LATERAL (
            (SELECT topic, id, due_at, token, failed, size, ctid, parked, walk.round FROM fmq_due_{q}
            WHERE topic > walk.topic AND (NOT walk.round OR topic <= %(after)s::text) ORDER BY topic, id LIMIT 1)
            UNION ALL
            (SELECT topic, id, due_at, token, failed, size, ctid, parked, true FROM fmq_due_{q}
            WHERE NOT walk.round AND topic <= %(after)s::text ORDER BY topic, id LIMIT 1)
            LIMIT 1
        ) AS next
    ),
    candidate AS MATERIALIZED (
        SELECT id, place, size, {state}, n AS since FROM walk AS due
        WHERE (due_at <= {now} OR parked = %(route)s::text) AND NOT EXISTS (SELECT 1 FROM busy WHERE busy.topic = due.topic) LIMIT %(limit)s
    ),"""
# A claim passes over what others hold. A suspect comes alone, or the ones before it. Of the others those that fit, and one at least. Most often that is all of them.
_LEND = """
    whole AS MATERIALIZED (
        SELECT count(*) FILTER (WHERE suspect) = 0 AND sum(size) <= %(most_bytes)s AS fits FROM candidate
    ),
    chosen AS (
        SELECT id, place, expired, suspect FROM candidate WHERE (SELECT fits FROM whole)
        UNION ALL
        SELECT id, place, expired, suspect FROM (
            SELECT *, min(rank) FILTER (WHERE suspect) OVER () AS first FROM (
                SELECT id, place, expired, suspect, row_number() OVER line AS rank, sum(size) OVER line AS held
                FROM candidate WHERE (SELECT fits FROM whole) IS NOT TRUE WINDOW line AS (ORDER BY since, id)
            ) AS ranked
        ) AS known
        WHERE CASE WHEN first = 1 THEN rank = 1
            ELSE (first IS NULL OR rank < first) AND (rank = 1 OR held <= %(most_bytes)s) END
    ),
    lent AS (
        UPDATE fmq_due_{q} AS due SET leased = {now} + %(lease)s, token = %(token)s, parked = NULL,
            due_at = least(due.due_at, {now}),
            failed = CASE WHEN expired THEN least(failed, 2147483646) + 1 ELSE failed END
        FROM chosen WHERE due.ctid = chosen.place AND due.id = chosen.id AND (due.token IS NULL OR due.leased <= {now})
        RETURNING due.id, due.failed, chosen.expired, chosen.suspect, due.topic
    ),
    lapse AS (SELECT id, %(cause)s::text AS cause, %(reason)s::text AS reason, ''::text AS worker FROM lent WHERE expired),"""
_COUNT = counting(
    "pending=-count(*) FILTER (WHERE NOT expired); claimed=count(*) FILTER (WHERE NOT expired); "
    "failed=count(*) FILTER (WHERE expired)",
    "lent",
)
_READ = f"""
    SELECT flags.ordered, flags.paused, lent.suspect, lent.failed, lent.topic, {NOW}, message.stored_at, {MESSAGE_COLUMNS}
    FROM flags LEFT JOIN (lent JOIN fmq_msg_{{q}} AS message ON message.id = lent.id) ON true
"""
CLAIM = _FLAGS + _LONGEST_DUE.replace("{state}", _STATE) + _LEND + note_attempts("lapse") + ", " + _COUNT + _READ
CLAIM_FOR_ROUTE = (
    _FLAGS + _PARKED_FIRST.replace("{state}", _STATE) + _LEND + note_attempts("lapse") + ", " + _COUNT + _READ
)
CLAIM_IN_ORDER = _FLAGS + _HEADS.replace("{state}", _STATE) + _LEND + note_attempts("lapse") + ", " + _COUNT + _READ
GIVE_BACK = (
    "WITH back AS (UPDATE fmq_due_{q} SET token = NULL, settled = NULL WHERE token = %(token)s RETURNING id), "
    + counting("pending=count(*); claimed=-count(*)", "back")
    + " SELECT count(*) FROM back"
)
"""Gives back what a claim of unknown outcome has lent. Reads all of ``due``, after a lost connection only."""
