"""A ring of the last actions of operators."""

from collections.abc import Sequence

from fmq.store.records import Action
from fmq.store.sqlite.codec import NUMBER, as_count, as_number, as_text
from fmq.store.sqlite.part import Part

_KEPT = 10_000


class AuditPart(Part):
    """The role Audit."""

    def begin_action(self, *, actor: str, kind: str, queue: str = "", selection: str = "") -> int:
        with self._database.write():
            number = self._database.rows(
                "INSERT INTO fmq_action (at, actor, kind, queue, selection) VALUES (?, ?, ?, ?, ?) RETURNING number",
                (self._database.wall(), actor, kind, queue, selection),
            )[0][0]
            self._database.rows("DELETE FROM fmq_action WHERE number <= ?", (number - _KEPT,))
        return int(number)

    def note_progress(self, number: int, *, changed: int) -> None:
        self._note(number, changed, ended=False)

    def end_action(self, number: int, *, changed: int) -> None:
        self._note(number, changed, ended=True)

    def _note(self, number: int, changed: int, *, ended: bool) -> None:
        with self._database.write():
            self._database.rows(
                "UPDATE fmq_action SET changed = ?, ended_at = ? WHERE number = ?",
                (changed, self._database.wall() if ended else None, number),
            )

    def actions(self, *, before: int | None = None, limit: int = 100) -> Sequence[Action]:
        with self._database.read():
            rows = self._database.rows(
                f"SELECT number, {NUMBER.format('at')}, CAST(actor AS BLOB), CAST(kind AS BLOB), CAST(queue AS BLOB), "
                "CAST(selection AS BLOB), changed, ended_at FROM fmq_action WHERE number < ? ORDER BY number DESC LIMIT ?",
                (2**63 - 1 if before is None else before, limit),
            )
        return [
            Action(
                number,
                as_number(at),
                as_text(actor),
                as_text(kind),
                as_text(queue),
                as_text(selection),
                as_count(changed),
                None if ended is None else as_number(ended),
            )
            for number, at, actor, kind, queue, selection, changed, ended in rows
        ]
