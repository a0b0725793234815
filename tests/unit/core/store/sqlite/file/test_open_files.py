"""A database that is taken away under an open connection is noticed, and nothing is said to be stored in it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fmq.errors import StoreRefused, StoreUnavailable
from fmq.message import Incoming, Receipt, Terms
from fmq.outcome import Done
from fmq.store.backends import backend_of, open_store
from fmq.store.options import Retention
from fmq.store.roles import Store
from support.wait import wait_for

Change = Callable[[Path], object]


def replaced(path: Path) -> None:
    """As an operator restores a backup: by the book but for the services that still run."""
    backend_of(f"sqlite:///{path}").back_up(
        f"sqlite:///{path}", str(path.with_name("backup.db")), on_progress=lambda _done, _pages: None
    )
    for ending in ("-wal", "-shm"):
        Path(f"{path}{ending}").unlink()
    path.with_name("backup.db").replace(path)


def copied_over(path: Path) -> None:
    """With its log and its shared memory left alone."""
    shutil.copy(path, path.with_name("copy.db"))
    path.with_name("copy.db").replace(path)


def retargeted(path: Path) -> None:
    """A link that now leads to another file."""
    path.rename(path.with_name("other.db"))
    path.symlink_to(path.with_name("third.db"))
    path.with_name("third.db").touch()


CHANGES: dict[str, Change] = {
    "replaced by a backup": replaced,
    "replaced by a copy": copied_over,
    "removed": lambda path: path.unlink(),
    "renamed": lambda path: path.rename(path.with_name("other.db")),
    "its folder renamed": lambda path: path.parent.rename(path.parent.with_name("elsewhere")),
    "its log removed": lambda path: Path(f"{path}-wal").unlink(),
    "its shared memory removed": lambda path: Path(f"{path}-shm").unlink(),
    "a link retargeted": retargeted,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data/q.db"


def message(number: int = 0) -> Incoming:
    return Incoming("q", "t", b"%d" % number, 1.0)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("kind", ["plain", "with terms", "with a receipt"])
def test_nothing_is_stored_in_it(path: Path, change: Change, kind: str) -> None:
    """The first put after it, whatever it holds, raises StoreRefused: the listener acknowledges nothing."""
    with open_store(f"sqlite:///{path}") as queue:
        queue.declare("q")
        queue.put([message()])
        change(path)
        with pytest.raises(StoreRefused, match="replaced, removed or renamed"):
            queue.put(
                [message(1)],
                terms={0: Terms(delay=1)} if kind == "with terms" else {},
                receipt=Receipt("s", 1, b"", 1) if kind == "with a receipt" else None,
            )


_LOOKS: dict[str, Callable[[Store], object]] = {
    "an idle processor": lambda queue: queue.wait(0),
    "a claim": lambda queue: queue.claim("q", 1, lease=60),
    "a settlement": lambda queue: queue.settle([(claim, Done()) for claim in queue.claim("q", 1, lease=0.01)]),
    "upkeep": lambda queue: queue.maintain(Retention()),
    "a probe": lambda queue: queue.probe(),
    "a scrape": lambda queue: queue.stats("q"),
    "sizes": lambda queue: queue.store_stats(),
}


@pytest.mark.parametrize("look", _LOOKS.values(), ids=_LOOKS.keys())
@pytest.mark.parametrize("change", [replaced, CHANGES["its folder renamed"], CHANGES["its shared memory removed"]])
def test_every_connection_notices(path: Path, change: Change, look: Callable[[Store], object]) -> None:
    """Within a second, whatever it is used for."""
    with open_store(f"sqlite:///{path}") as queue:
        queue.declare("q")
        queue.put([message(number) for number in range(100)])
        change(path)

        def noticed() -> bool:
            try:
                look(queue)
            except StoreRefused as error:
                assert "replaced, removed or renamed" in str(error)  # noqa: PT017 - it comes when it comes
                return True
            return False

        wait_for(noticed, 1.0, what="that somebody notices")


def test_what_fmq_and_sqlite_do_is_no_such_thing(path: Path) -> None:
    """Other connections that come and go, checkpoints, a file that grows and shrinks, a move there and back."""
    with open_store(f"sqlite:///{path}") as queue:
        queue.declare("q")
        for number in range(3):
            with open_store(f"sqlite:///{path}") as other:
                other.put([message(number)] * 3_000)
                while claims := other.claim("q", 1_000, lease=60):
                    other.settle([(claim, Done()) for claim in claims])
                while other.maintain(Retention(0.0, 0.0)):
                    pass
                other._database.sql.wal_checkpoint()  # type: ignore[attr-defined]
            os.replace(path, f"{path}.away")  # noqa: PTH105
            os.replace(f"{path}.away", path)  # noqa: PTH105
            queue.put([message(number)])
        assert queue.stats("q").stored == 9_003


def test_a_disk_that_does_not_answer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may pass: whether the file is still there is not known, so nothing is said to be stored."""
    with open_store(f"sqlite:///{path}") as queue:
        queue.declare("q")

        def fail(_: object) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr("fmq.store.sqlite.file.open_files.os.stat", fail)
            with pytest.raises(StoreUnavailable, match="Input/output error"):
                queue.put([message()])
        queue.put([message()])


def test_a_link_to_a_database(path: Path) -> None:
    """It is used like the file itself, whose log stands next to the file and not next to the link."""
    link = path.with_name("link.db")
    link.symlink_to(path)
    with open_store(f"sqlite:///{path}"), open_store(f"sqlite:///{link}") as queue:
        queue.declare("q")
        queue.put([message()])
        Path(f"{path}-wal").unlink()
        with pytest.raises(StoreRefused, match="-wal was replaced"):
            queue.put([message()])
