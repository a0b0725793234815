"""Stores for the web page's parts, on a database and a clock of the test's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from fmq.clock import Clock
from fmq.message import Incoming
from fmq.outcome import Dead, Done, Settlement
from fmq.store.backends import open_store
from fmq.store.options import Durability, StoreOptions
from fmq.store.roles import Store
from fmq_web.stores import Stores
from support.clock import FakeClock

QUEUE = "sensors/+/temp"
_OPTIONS = StoreOptions(durability=Durability.NORMAL, check_integrity=False)


class Web:
    """A database with queues, and the page's stores on it. ``wrap`` may replace each store that the page opens."""

    def __init__(self, path: Path, wrap: Callable[[Store], Store] = lambda store: store) -> None:
        self.clock = FakeClock()
        self.url = f"sqlite:///{path}/mqtt_queue.db"
        self.wrap = wrap
        self.store = self.open()
        self.stores = Stores(lambda: self.wrap(self.open()))

    def open(self, clock: Clock | None = None) -> Store:
        return open_store(self.url, _OPTIONS, clock=clock or self.clock)

    def settled(self, count: int, how: Settlement, *, topic: str = "sensors/a/temp", queue: str = QUEUE) -> list[int]:
        """The ids of ``count`` new messages that were settled just now. Nothing else may be pending."""
        self.store.declare(queue)
        self.store.put([Incoming(queue, topic, b"21.5", self.clock.wall()) for _ in range(count)])
        ids: list[int] = []
        while claims := self.store.claim(queue, 1_000, lease=60):
            self.store.settle([(claim, how) for claim in claims])
            ids += [claim.message.id for claim in claims]
        return ids

    def dead(self, count: int, *, topic: str = "sensors/a/temp", queue: str = QUEUE) -> list[int]:
        return self.settled(count, Dead("ValueError: no"), topic=topic, queue=queue)

    def done(self, count: int, *, topic: str = "sensors/a/temp", queue: str = QUEUE) -> list[int]:
        return self.settled(count, Done(), topic=topic, queue=queue)

    def close(self) -> None:
        self.stores.close()
        self.store.close()


@contextmanager
def web_at(path: Path) -> Iterator[Web]:
    """One that is closed at the end."""
    web = Web(path)
    try:
        yield web
    finally:
        web.close()


class Wrapped:
    """A store, some of whose methods a test replaces: ``replaced[name](store, *arguments)``."""

    def __init__(self, store: Store, replaced: dict[str, Callable[..., object]]) -> None:
        self._store = store
        self._replaced = replaced

    def __getattr__(self, name: str) -> object:
        if name in self._replaced:
            return lambda *arguments, **options: self._replaced[name](self._store, *arguments, **options)
        return getattr(self._store, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._store.close()
