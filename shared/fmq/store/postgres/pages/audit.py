"""A ring of the last actions of operators."""

from collections.abc import Sequence

from fmq.store.postgres.codec import storable
from fmq.store.postgres.part import Part
from fmq.store.postgres.statements import statement
from fmq.store.records import Action

_KEPT = 10_000
_BEGIN = statement(
    "INSERT INTO fmq_action (at, actor, kind, queue, selection) "
    "VALUES ({wall}, %(actor)s, %(kind)s, %(queue)s, %(selection)s) RETURNING number"
)
_FORGET = b"DELETE FROM fmq_action WHERE number <= %(last)s"
_NOTE = statement(
    "UPDATE fmq_action SET changed = %(changed)s, ended_at = CASE WHEN %(ended)s THEN {wall} END WHERE number = %(number)s"
)
_READ = b"""
    SELECT number, at, actor, kind, queue, selection, changed, ended_at FROM fmq_action
    WHERE number < %(before)s ORDER BY number DESC LIMIT %(limit)s
"""


class AuditPart(Part):
    """The role Audit."""

    def begin_action(self, *, actor: str, kind: str, queue: str = "", selection: str = "") -> int:
        texts = {"actor": actor, "kind": kind, "queue": queue, "selection": selection}
        number = int(self._session.rows(_BEGIN, {name: storable(text) for name, text in texts.items()})[0][0])
        self._session.rows(_FORGET, {"last": number - _KEPT})
        return number

    def note_progress(self, number: int, *, changed: int) -> None:
        self._session.rows(_NOTE, {"number": number, "changed": changed, "ended": False})

    def end_action(self, number: int, *, changed: int) -> None:
        self._session.rows(_NOTE, {"number": number, "changed": changed, "ended": True})

    def actions(self, *, before: int | None = None, limit: int = 100) -> Sequence[Action]:
        rows = self._session.rows(_READ, {"before": 2**63 - 1 if before is None else before, "limit": limit})
        return [Action(*row) for row in rows]
