"""A part of the store: some of its methods, on the one session that all parts share.

PostgresStore is made of parts. fmq.store.roles says what each method promises.
"""

from fmq.store.postgres.queues import Queues


class Part:
    """A few methods of PostgresStore."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._session = queues.session
