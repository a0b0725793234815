"""Keys by which duplicates are recognized."""

import hashlib
from base64 import b64encode
from functools import lru_cache
from uuid import UUID

from fmq.message import Message

_KEPT_QUEUES = 10_000
_BEGIN_BYTES = 12


def digest(text: str) -> bytes:
    """16 bytes that stand for a text that may be longer than an index takes."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class MessageKeys:
    """Keys by which a store recognizes messages of another one that are sent to it again.

    They are as unique as ``fmq.message.unique_id``, and made of the same. The keys of a queue sort by the messages' ids, so that a
    store on SQLite adds them at the end of its index. Keys in no order would go to any of its pages, and each commit would write
    about as many pages as it has messages.
    """

    def __init__(self, store: UUID) -> None:
        """``store`` is the identity of the store that the messages come from."""
        self._store = store
        self._begin = lru_cache(_KEPT_QUEUES)(self._find_begin)

    def key(self, message: Message) -> str:
        """The key of a message."""
        return f"{self._begin(message.queue)}{message.id:012x} {message.received_at!r}"

    def _find_begin(self, queue: str) -> str:
        text = self._store.bytes + queue.encode("utf-8", "surrogatepass")
        return b64encode(hashlib.blake2b(text, digest_size=_BEGIN_BYTES).digest()).decode("ascii")
