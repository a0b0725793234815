"""The rows that a Selection matches."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing

from fmq.store.selection import Selection, State
from fmq.store.sqlite.codec import NUMBER, as_number, as_text, held_bytes
from fmq.store.sqlite.database import Database

THESE = "id IN (SELECT value FROM json_each(:ids))"
"""The rows whose ids ``these`` binds."""
IN_STATE = {
    State.ANY: "true",
    State.PENDING: "processed = 0",
    State.DELAYED: "processed = 0",
    State.CLAIMED: "processed = 0",
    State.DONE: "processed = 1 AND dead_at IS NULL",
    State.DEAD: "dead_at IS NOT NULL",
}
_LENT = {
    State.PENDING: "AND NOT EXISTS (SELECT 1 FROM {lent} AS lent WHERE lent.id = message.id AND token IS NOT NULL)",
    State.DELAYED: "AND EXISTS (SELECT 1 FROM {lent} AS lent WHERE lent.id = message.id AND token IS NULL AND parked IS NULL AND due_at > :now)",
    State.CLAIMED: "AND EXISTS (SELECT 1 FROM {lent} AS lent WHERE lent.id = message.id AND token IS NOT NULL)",
}
_DONE_AT = "ifnull(changed_at + :shift, received_at)"
_SINCE = {State.DEAD: "dead_at", State.DONE: _DONE_AT}


def fitting(database: Database, name: str, which: Selection, ids: Sequence[int]) -> set[int]:
    """Those of ``ids`` that ``which`` selects."""
    lent = _LENT.get(which.state, "").format(lent=database.lent(name))
    reason = "''" if which.fingerprint is None else "ifnull(CAST(reason AS BLOB), '')"
    rows = database.rows(
        f"SELECT id, CAST(topic AS BLOB), {NUMBER.format(_SINCE.get(which.state, 'received_at'))}, {reason} "
        f"FROM {database.table(name)} AS message WHERE {THESE} AND {IN_STATE[which.state]} {lent} "
        "AND instr(lower(ifnull(reason, '')), lower(:reason))",
        {"reason": which.reason or "", "shift": database.shift, "now": database.now(), **these(ids)},
    )
    return set(which.among([(row[0], as_text(row[1]), as_number(row[2]), as_text(row[3])) for row in rows]))


def not_lent(state: State) -> str:
    """SQL: whether a row of ``message`` is in ``state`` and not lent. Takes the table ``lent``."""
    return f"{IN_STATE[state]} {_LENT[State.PENDING]} {_LENT.get(state, '')}"


def these(ids: Sequence[int]) -> dict[str, str]:
    """The parameter of THESE."""
    return {"ids": json.dumps(list(ids))}


def first_fitting(
    database: Database, name: str, which: str, values: Mapping[str, object], most_bytes: int
) -> Sequence[int]:
    """The first ids whose messages together hold at most ``most_bytes``, and at least one. Reads no long value.

    ``which`` is SQL for a row of ``message``.
    """
    chosen: list[int] = []
    rows = database.sql.execute(
        f"SELECT id, {held_bytes('message')} FROM {database.table(name)} AS message WHERE {which} ORDER BY id", values
    )
    with closing(rows):
        for number, size in rows:
            most_bytes -= size
            if chosen and most_bytes < 0:
                break
            chosen.append(number)
    return chosen
