"""The role Moving."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from fmq.errors import QueueError
from fmq.message import MessageId, Receipt, Terms
from fmq.store.keys import digest
from fmq.store.options import NO_TERMS
from fmq.store.records import Key, StoredMessage
from fmq.store.selection import State
from fmq.store.sqlite import insertion
from fmq.store.sqlite.choosing import THESE, first_fitting, not_lent, these
from fmq.store.sqlite.moving.placing import insert, pass_settled
from fmq.store.sqlite.moving.reading import read_stored
from fmq.store.sqlite.part import Part

_LAPSED = "processed = 0 AND EXISTS (SELECT 1 FROM {lent} AS lent WHERE lent.id = message.id AND token IS NOT NULL AND due_at <= :now)"


class MovingPart(Part):
    """The role Moving, without the receipts that a listener reads."""

    def stored(self, name: str, ids: Sequence[MessageId], *, most_bytes: int | None = None) -> Sequence[StoredMessage]:
        with self._database.snapshot():
            if most_bytes is not None:
                ids = first_fitting(self._database, name, THESE, these(ids), most_bytes)
            return read_stored(self._database, name, ids)

    def take(
        self,
        name: str,
        ids: Sequence[MessageId],
        *,
        state: State,
        most_bytes: int,
        keep: Callable[[Sequence[StoredMessage]], Receipt],
    ) -> Sequence[StoredMessage]:
        with self._database.write() as sql:
            which = _LAPSED if state is State.CLAIMED else not_lent(state)
            which = f"{THESE} AND {which.format(lent=self._database.lent(name))}"
            values = {"now": self._database.now(), **these(ids)}
            chosen = first_fitting(self._database, name, which, values, most_bytes)
            found = read_stored(self._database, name, chosen)
            if found:
                receipt = keep(found)
                if receipt.number != self._last_receipt(receipt.session) + 1:
                    raise QueueError(f"{receipt.session}: another one is at work on {self._database.path}")
                insertion.keep_receipt(receipt, self._database)
                sql.execute(f"DELETE FROM {self._database.table(name)} WHERE {THESE}", these(chosen))
        return found

    def place(
        self,
        messages: Sequence[StoredMessage],
        *,
        terms: Mapping[int, Terms] = NO_TERMS,
        receipt: Receipt | None = None,
        keep_ids: bool = False,
    ) -> Sequence[MessageId | None]:
        database = self._database
        ids: list[MessageId | None] = []
        counts: dict[str, Counter[State]] = {}
        with database.write():
            if receipt is not None:
                if receipt.number <= self._last_receipt(receipt.session):
                    return [None] * len(messages)
                insertion.keep_receipt(receipt, database)
            now = database.now()
            for position, one in enumerate(messages):
                name, asked = one.message.queue, terms.get(position)
                if asked and asked.key is not None and not insertion.is_new(name, asked, now, database):
                    ids.append(None)
                    continue
                ids.append(insert(database, one, now, keep_id=keep_ids))
                counts.setdefault(name, Counter())[one.state] += 1
            for name, count in counts.items():
                database.rows(
                    "UPDATE fmq_queue SET stored = stored + ?, pending = pending + ?, claimed = claimed + ?, done = done + ?, "
                    "dead = dead + ? WHERE name = ?",
                    (count.total(), *(count[one] for one in _COUNTED), name),
                )
                pass_settled(database, name)
        database.require_files()  # the caller deletes the originals next
        return ids

    def _last_receipt(self, session: str) -> int:
        rows = self._database.rows("SELECT ifnull(max(number), 0) FROM fmq_receipt WHERE session = ?", (session,))
        return int(rows[0][0])

    def last_id(self, name: str) -> MessageId:
        with self._database.read():
            rows = self._database.rows(
                "SELECT seq FROM sqlite_sequence WHERE name = ?", (self._database.bare_table(name),)
            )
        return int(rows[0][0]) if rows else 0

    def skip_ids(self, name: str, last: MessageId) -> None:
        table = self._database.bare_table(name)
        with self._database.write():  # https://sqlite.org/autoinc.html: it may be written as any other table
            if not self._database.rows("SELECT 1 FROM sqlite_sequence WHERE name = ?", (table,)):
                self._database.rows("INSERT INTO sqlite_sequence (name, seq) VALUES (?, 0)", (table,))
            self._database.rows("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (last, table))

    def notes(self, beginning: str) -> Mapping[str, str]:
        with self._database.read():
            return dict(
                self._database.rows(
                    "SELECT key, value FROM fmq_note WHERE substr(key, 1, ?1) = ?2", (len(beginning), beginning)
                )
            )

    def keys(self, name: str, *, after: Key | None = None, limit: int = 1_000) -> Sequence[Key]:
        with self._database.read():
            now = self._database.now()
            rows = self._database.rows(
                "SELECT key, expires_at FROM fmq_key WHERE queue = ? AND key > ? AND expires_at > ? ORDER BY key LIMIT ?",
                (name, (after and after.text) or "", now, limit),
            )
        return [Key(digest(text), text, expires_at - now) for text, expires_at in rows]

    def remember_keys(self, name: str, keys: Sequence[Key]) -> int:
        with self._database.write():
            now = self._database.now()
            for key in keys:
                if key.text is not None:
                    insertion.is_new(name, Terms(key=key.text, key_seconds=key.seconds), now, self._database)
        return sum(key.text is None for key in keys)


_COUNTED = (State.PENDING, State.CLAIMED, State.DONE, State.DEAD)
"""As the columns of the counters stand in the statement."""
