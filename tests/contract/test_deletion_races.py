"""A queue is deleted while others store and claim: nothing is lost, and nobody stays in error."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from contract.filling import figures
from fmq.errors import QueueInUse, StoreUnavailable, UnknownQueue
from fmq.message import Incoming, Terms
from fmq.outcome import Done
from support.backends import BackendUnderTest

_BATCHES = 40
_T = TypeVar("_T")


def test_stored_or_refused(backend: BackendUnderTest) -> None:
    """Each batch is handled once if its call returned, and is nowhere if its queue was gone; the other queue goes on."""
    handled: list[str] = []
    over = threading.Event()
    deletions = 0

    def store_batches(name: str) -> None:
        with backend.open() as store:
            for number in range(_BATCHES):
                # Of both queues in one commit, and with keys, as a listener stores them.
                batch = [Incoming(queue, "t", f"{name} {number}".encode(), 1.0) for queue in ("q", "other")]
                terms = {at: Terms(key=f"{name} {number}", key_seconds=900) for at in range(2)}
                again(partial(store.put, batch, terms=terms), partial(store.declare, "q"))

    def handle() -> None:
        with backend.open() as store:
            while True:
                was_over = over.is_set()
                count = 0
                for queue in ("q", "other"):
                    claims = again(partial(store.claim, queue, 10, lease=600), partial(store.declare, "q"))
                    assert list(again(partial(store.settle, [(one, Done()) for one in claims]))) == []
                    handled.extend(f"{queue} {one.message.text}" for one in claims)
                    count += len(claims)
                if was_over and not count:
                    return

    def delete() -> None:
        nonlocal deletions
        with backend.open() as store:
            while not (over.is_set() and deletions):
                with suppress(QueueInUse):
                    deletions += again(partial(store.delete_queue, "q"))

    with backend.open() as store:
        for name in ("q", "other"):
            store.declare(name)
        with ThreadPoolExecutor(5) as pool:
            work = [pool.submit(handle), pool.submit(handle), pool.submit(delete)]
            try:
                for one in [pool.submit(store_batches, name) for name in "ab"]:
                    one.result()
            finally:
                over.set()
            for one in work:
                one.result()
        wanted = [f"{queue} {name} {number}" for queue in ("q", "other") for name in "ab" for number in range(_BATCHES)]
        assert sorted(handled) == sorted(wanted)
        assert figures(store, "other") == (0, 0, 2 * _BATCHES, 0)
        assert {name: figures(store, name) for name in store.names()} == backend.full_count()


def again(call: Callable[[], _T], create: Callable[[], object] = lambda: None) -> _T:
    """Repeat a call, as services do, until the store is available; ``create`` the queue again when it is gone."""
    while True:
        try:
            return call()
        except StoreUnavailable:
            pass
        except UnknownQueue:
            create()
