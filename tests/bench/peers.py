"""Other durable queues on SQLite, each as its documentation shows it: put one, take one and mark it as done."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import persistqueue
from huey import SqliteHuey
from litequeue import LiteQueue


class Peer(Protocol):
    """A queue of somebody else's."""

    def put(self, payload: bytes) -> None: ...

    def take(self) -> None:
        """Take the next one and mark it as done."""

    def close(self) -> None: ...


class Lite:
    """litequeue."""

    def __init__(self, folder: Path) -> None:
        self._queue = LiteQueue(str(folder / "litequeue.db"))

    def put(self, payload: bytes) -> None:
        self._queue.put(payload.decode())

    def take(self) -> None:
        self._queue.done(self._queue.pop().message_id)

    def close(self) -> None:
        self._queue.close()


class Persist:
    """persist-queue."""

    def __init__(self, folder: Path) -> None:
        self._queue = persistqueue.SQLiteAckQueue(str(folder / "persist-queue"))

    def put(self, payload: bytes) -> None:
        self._queue.put(payload)

    def take(self) -> None:
        self._queue.ack(self._queue.get(block=False))

    def close(self) -> None:
        self._queue.close()


class Huey:
    """huey: a task that does nothing."""

    def __init__(self, folder: Path) -> None:
        self._huey = SqliteHuey(filename=str(folder / "huey.db"), results=False)
        self._task = self._huey.task()(_nothing)

    def put(self, payload: bytes) -> None:
        self._task(payload)

    def take(self) -> None:
        self._huey.execute(self._huey.dequeue())

    def close(self) -> None:
        self._huey.storage.close()


def _nothing(_payload: bytes) -> None:
    pass


PEERS: dict[str, Callable[[Path], Peer]] = {"litequeue": Lite, "persist-queue": Persist, "huey": Huey}
