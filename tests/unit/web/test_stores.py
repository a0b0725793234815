"""The page's connections: a change that waits for another writer keeps nobody from reading."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmq.store.roles import Store
from support.web.databases import QUEUE, Web, web_at


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with web_at(tmp_path) as one:
        one.store.declare(QUEUE)
        yield one


def test_changes_that_wait(web: Web) -> None:
    """However many wait, reading goes on; they go on in turn."""
    free = threading.Event()

    def change(_store: Store) -> bool:
        return free.wait(30)

    try:
        waiting = [web.stores.submit_change(change) for _ in range(20)]
        assert web.stores.submit(lambda store: list(store.names())).result(10) == [QUEUE]
        assert not any(one.done() for one in waiting)
    finally:
        free.set()
    assert all(one.result(10) for one in waiting)
