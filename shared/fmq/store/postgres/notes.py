"""Notes of services, the identity of the store, and its time."""

from uuid import UUID, uuid4

from fmq.store.keys import digest
from fmq.store.postgres.part import Part
from fmq.store.postgres.statements import statement

_READ = b"SELECT value FROM fmq_note WHERE digest = %(digest)s"
_WRITE = b"""
    INSERT INTO fmq_note (digest, key, value) VALUES (%(digest)s, %(key)s, %(value)s)
    ON CONFLICT (digest) DO UPDATE SET value = excluded.value
"""
_FIRST = b"""
    INSERT INTO fmq_note (digest, key, value) VALUES (%(digest)s, %(key)s, %(value)s) ON CONFLICT DO NOTHING RETURNING 1
"""
_NEXT = b"UPDATE fmq_note SET value = %(value)s WHERE digest = %(digest)s AND value = %(old)s RETURNING 1"
_NOW = statement("SELECT {now}")
_IDENTITY = "identity"


class NotesPart(Part):
    """The roles Identity and Pacing."""

    def remember(self, key: str, value: str) -> None:
        self._session.rows(_WRITE, {"digest": digest(key), "key": key, "value": value})

    def recall(self, key: str) -> str | None:
        rows = self._session.rows(_READ, {"digest": digest(key)})
        return str(rows[0][0]) if rows else None

    def exchange(self, key: str, old: str | None, new: str) -> bool:
        values = {"digest": digest(key), "key": key, "value": new, "old": old}
        return bool(self._session.rows(_FIRST if old is None else _NEXT, values))

    def identity(self) -> UUID:
        known = self.recall(_IDENTITY)
        if known is None:
            self.exchange(_IDENTITY, None, str(uuid4()))
            known = self.recall(_IDENTITY)
        return UUID(known)

    def now(self) -> float:
        return float(self._session.rows(_NOW)[0][0])
