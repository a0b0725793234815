"""Connections to the store: one for each worker thread, opened again after the store failed."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

from fmq.errors import QueueError, StoreRefused, StoreUnavailable
from fmq.store.roles import Store

_T = TypeVar("_T")
_READING, _CHANGING = 4, 4


class Stores:
    """Runs calls in worker threads, each with a store of its own. ``open_one`` opens a store that exists.

    After StoreRefused or StoreUnavailable the thread's store is closed, and the next call opens it again: somebody may have
    replaced or repaired it meanwhile.

    Changes have threads of their own: they wait for other writers, while everybody can still read.
    """

    def __init__(self, open_one: Callable[[], Store]) -> None:
        self._open_one = open_one
        self._own = threading.local()
        self._opened: set[Store] = set()
        self._lock = threading.Lock()
        self._reading = ThreadPoolExecutor(_READING, thread_name_prefix="reading")
        self._changing = ThreadPoolExecutor(_CHANGING, thread_name_prefix="changing")

    def submit(self, call: Callable[[Store], _T]) -> Future[_T]:
        """Run ``call``, which only reads, in a worker thread with its store. The future may raise any QueueError."""
        return self._reading.submit(self._run, call)

    def submit_alone(self, call: Callable[[], _T]) -> Future[_T]:
        """The same for a call that needs no store."""
        return self._reading.submit(call)

    def submit_change(self, call: Callable[[Store], _T]) -> Future[_T]:
        """The same for a call that may write, or that takes long."""
        return self._changing.submit(self._run, call)

    @contextmanager
    def another(self) -> Iterator[Store]:
        """A store of one's own, for a thread that needs one for long. Raises StoreRefused, StoreUnavailable."""
        with self._open_one() as store:
            yield store

    def _run(self, call: Callable[[Store], _T]) -> _T:
        store: Store | None = getattr(self._own, "store", None)
        if store is None:
            store = self._own.store = self._open_one()
            with self._lock:
                self._opened.add(store)
        try:
            return call(store)
        except (StoreRefused, StoreUnavailable):
            self._own.store = None
            with self._lock:
                self._opened.discard(store)
            with suppress(QueueError):
                store.close()
            raise

    def close(self) -> None:
        """End the threads and close their stores."""
        for threads in (self._reading, self._changing):
            threads.shutdown()
        for store in self._opened:
            with suppress(QueueError):
                store.close()
