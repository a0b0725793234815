"""A backup is the store at one moment, whole or not there at all."""

import stat
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from fmq.errors import QueueError, StoreDamaged, StoreRefused
from fmq.message import Incoming
from fmq.store.backends import backend_of, open_store
from fmq.store.roles import Store
from support.counting import counted, counters

_PAYLOAD = b"x" * 4_000
_FIRST = 5_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of 20 MB, so that its copy takes several steps."""
    path = tmp_path / "q.db"
    with open_store(f"sqlite:///{path}") as queue:
        queue.declare("q")
        put(queue, _FIRST)
    return path


def put(queue: Store, count: int) -> None:
    queue.put([Incoming("q", "t", _PAYLOAD, 1.0) for _ in range(count)])


def backup(path: Path, target: Path, told: Callable[[int, int], None] = lambda _done, _pages: None) -> int:
    return backend_of(f"sqlite:///{path}").back_up(f"sqlite:///{path}", str(target), on_progress=told)


def test_while_others_write(path: Path, tmp_path: Path) -> None:
    """Commits during the copy are not in it, and don't begin it anew; the copy is a store like any other."""
    steps: list[int] = []
    target = tmp_path / "copy.db"
    with open_store(f"sqlite:///{path}") as other:

        def write(done: int, _pages: int) -> None:
            steps.append(done)
            assert len(steps) < 50, "each commit begins the copy anew"
            put(other, 10)

        assert backup(path, target, write) == target.stat().st_size
        assert other.stats("q").pending == _FIRST + 10 * len(steps)
    assert steps == sorted(steps)
    assert len(steps) > 2
    assert counters(target) == counted(target) == {"q": (_FIRST, 0, 0, 0)}
    assert sorted(one.name for one in tmp_path.glob("*copy*")) == ["copy.db"], "no log, no partial file"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with open_store(f"sqlite:///{target}") as copy:
        assert len(copy.claim("q", 10, lease=60)) == 10


def test_an_existing_file_stays(path: Path, tmp_path: Path) -> None:
    """Whatever is there already is not touched, even if it has come meanwhile."""
    target = tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(QueueError, match="exists already"):
        backup(path, target)
    late = tmp_path / "late.db"
    with pytest.raises(QueueError, match="exists already"):
        backup(path, late, lambda _done, _pages: void(late.write_text("mine")))
    assert (target.read_text(), late.read_text()) == ("mine", "mine")
    assert not list(tmp_path.glob(".*"))


def test_cut_off(path: Path, tmp_path: Path) -> None:
    """A backup that fails leaves nothing behind."""

    def cut(_done: int, _pages: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(path, tmp_path / "copy.db", cut)
    assert sorted(one.name for one in tmp_path.glob("*copy*")) == []


def test_damage_is_found(path: Path, tmp_path: Path) -> None:
    """A copy that does not pass the check never gets its name."""
    with open_store(f"sqlite:///{path}"):
        pass
    with path.open("r+b") as file:
        file.seek(4096 * 40)
        file.write(b"\xff" * 4096 * 3)
    with pytest.raises(StoreDamaged):
        backup(path, tmp_path / "copy.db")
    assert not list(tmp_path.glob("*copy*"))


def test_what_is_no_store(tmp_path: Path) -> None:
    """No file, another program's database, a folder that is not there: refused with the reason."""
    with pytest.raises(StoreRefused, match="does not exist"):
        backup(tmp_path / "none.db", tmp_path / "copy.db")
    other = tmp_path / "other.db"
    sql = apsw.Connection(str(other))
    sql.execute("CREATE TABLE t (x)")
    sql.close()
    with pytest.raises(StoreRefused, match="not an fmq database"):
        backup(other, tmp_path / "copy.db")
    with open_store(f"sqlite:///{tmp_path}/q.db"), pytest.raises(QueueError, match="can't be made"):
        backup(tmp_path / "q.db", tmp_path / "nowhere" / "copy.db")


def void(_: object) -> None:
    """Forget a value."""
