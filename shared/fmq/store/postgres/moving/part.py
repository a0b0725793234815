"""The role Moving."""

from collections.abc import Callable, Mapping, Sequence

from fmq.message import MessageId, Receipt, Terms
from fmq.store.options import NO_TERMS
from fmq.store.postgres.insertion import KEYS
from fmq.store.postgres.moving.placing import Placing
from fmq.store.postgres.moving.taking import Taking
from fmq.store.postgres.part import Part
from fmq.store.postgres.queues import Queues
from fmq.store.postgres.statements import statement
from fmq.store.records import Key, StoredMessage
from fmq.store.selection import State

_LAST_ID = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM fmq_id_{q}"
_SKIP_IDS = "SELECT setval('fmq_id_{q}', greatest(last_value, %(last)s)) FROM fmq_id_{q} WHERE %(last)s > 0"
_NOTES = b"SELECT key, value FROM fmq_note WHERE starts_with(key, %(beginning)s)"
_SOME_KEYS = statement("""
    SELECT digest, (expires_at - {now})::float8 FROM fmq_key
    WHERE queue = %(queue)s AND digest > %(after)b::bytea AND expires_at > {now} ORDER BY digest LIMIT %(limit)s
""")


class MovingPart(Part):
    """The role Moving, without the receipts that a listener reads."""

    def __init__(self, queues: Queues) -> None:
        super().__init__(queues)
        self._taking = Taking(queues)
        self._placing = Placing(queues)

    def stored(self, name: str, ids: Sequence[MessageId], *, most_bytes: int | None = None) -> Sequence[StoredMessage]:
        return self._taking.stored(name, ids, most_bytes)

    def take(
        self,
        name: str,
        ids: Sequence[MessageId],
        *,
        state: State,
        most_bytes: int,
        keep: Callable[[Sequence[StoredMessage]], Receipt],
    ) -> Sequence[StoredMessage]:
        return self._taking.take(name, ids, state, most_bytes, keep)

    def place(
        self,
        messages: Sequence[StoredMessage],
        *,
        terms: Mapping[int, Terms] = NO_TERMS,
        receipt: Receipt | None = None,
        keep_ids: bool = False,
    ) -> Sequence[MessageId | None]:
        return self._placing.place(messages, terms, receipt, keep_ids=keep_ids)

    def last_id(self, name: str) -> MessageId:
        return int(self._queues.rows(_LAST_ID, name)[0][0])

    def skip_ids(self, name: str, last: MessageId) -> None:
        self._queues.rows(_SKIP_IDS, name, {"last": last})

    def notes(self, beginning: str) -> Mapping[str, str]:
        return dict(self._session.rows(_NOTES, {"beginning": beginning}))

    def keys(self, name: str, *, after: Key | None = None, limit: int = 1_000) -> Sequence[Key]:
        values = {"queue": self._queues.number(name), "after": after.digest if after else b"", "limit": limit}
        return [Key(bytes(one), None, seconds) for one, seconds in self._session.rows(_SOME_KEYS, values)]

    def remember_keys(self, name: str, keys: Sequence[Key]) -> int:
        number = self._queues.number(name)
        given = {key.digest: key.seconds for key in keys}
        values = {"queues": [number] * len(given), "digests": list(given), "seconds": list(given.values())}
        self._session.rows(KEYS, values)
        return 0
