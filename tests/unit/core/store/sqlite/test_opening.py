"""Opening a database: migrated if it is old, refused and untouched if it is not ours or damaged."""

import hashlib
import os
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path

import apsw
import pytest

from fmq.errors import NoStore, SettingsError, StoreDamaged, StoreRefused, StoreUnavailable
from fmq.message import Incoming, Terms
from fmq.outcome import Dead, Done, GiveBack, RetryLater
from fmq.store.backends import backend_of, open_store
from fmq.store.options import Durability, Retention, StoreOptions
from fmq.store.roles import Store
from fmq.store.selection import Selection, State
from fmq.store.sqlite.schema import migrations as schema
from support.clock import FakeClock
from support.counting import counted, counters, query
from support.old_stores import make_old_store


def opened(path: Path, **options: object) -> Store:
    return open_store(f"sqlite:///{path}", StoreOptions(**options), clock=FakeClock())  # type: ignore[arg-type]


def put(queue: Store, count: int, *, size: int = 10) -> None:
    queue.declare("q")
    queue.put([Incoming("q", "t", b"x" * size, 1.0) for _ in range(count)])


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


class TestPragmas:
    def test_wal_and_durability(self, path: Path) -> None:
        """WAL always; FULL unless told otherwise; memory mapped."""
        full, normal = opened(path), opened(path, durability=Durability.NORMAL)
        values = []
        for queue in (full, normal):
            sql = queue._database.sql  # type: ignore[attr-defined]
            values.append([sql.pragma(name) for name in ("journal_mode", "synchronous", "mmap_size", "auto_vacuum")])
            queue.close()
        assert values == [["wal", 2, 268_435_456, 2], ["wal", 1, 268_435_456, 2]]

    def test_not_for_everybody(self, path: Path) -> None:
        """Others can't read the file, nor its log."""
        with opened(path) as queue:
            put(queue, 1)
            for file in (path, path.with_name("queue.db-wal"), path.with_name("queue.db-shm")):
                assert stat.S_IMODE(file.stat().st_mode) & 0o007 == 0


class TestMigration:
    @pytest.mark.parametrize("version", [0, *range(schema.FIRST_VERSION, schema.LATEST_VERSION)])
    def test_from_every_older_schema(self, path: Path, version: int) -> None:
        """A file of any older version is brought up to date, and then works."""
        sql = apsw.Connection(str(path))
        sql.execute("BEGIN IMMEDIATE")
        for step in schema.MIGRATIONS[: version and version - schema.FIRST_VERSION + 1]:
            if isinstance(step, str):
                sql.execute(step)
            else:
                step(sql)
        if version:
            sql.pragma("application_id", schema.APPLICATION_ID)
        sql.pragma("user_version", version)
        sql.execute("COMMIT")
        sql.close()
        with opened(path) as queue:
            put(queue, 1)
            assert queue.stats("q").pending == 1
        assert query(path, "PRAGMA user_version") == [(schema.LATEST_VERSION,)]

    @pytest.mark.parametrize("ordered", [False, True])
    def test_with_queues_of_schema_4(self, path: Path, *, ordered: bool) -> None:
        """Every message is where it was, its times go on, and the queue takes the order that is asked for first."""
        make_old_store(path, 4)
        clock = FakeClock()
        with open_store(f"sqlite:///{path}", clock=clock) as queue:
            assert counters(path) == counted(path) == {"a/#": (3, 1, 1, 1), "plain": (0, 0, 0, 0)}
            assert queue.ordered("a/#") is None
            claims = [*queue.claim("a/#", 9, lease=600, ordered=ordered)]
            assert [claim.message.id for claim in claims] == ([] if ordered else [5, 6])  # those wait behind 3 and 4
            clock.advance(30)
            claims += queue.claim("a/#", 9, lease=600, ordered=ordered)
            assert claims[-1].message.id == 3
            queue.settle([(claim, Done()) for claim in claims])
            put(queue, 3)
            clock.advance(86_400)
            while queue.maintain(Retention()):
                pass
        assert counters(path) == counted(path)
        assert [row[0] for row in query(path, "SELECT id FROM msg_a__ WHERE processed = 1")] == [2]  # the dead letter

    @pytest.mark.parametrize(("version", "told"), [(99, "a newer fmq"), (1, "before its first release")])
    def test_an_unknown_schema_is_refused(self, path: Path, version: int, told: str) -> None:
        """A file of a newer fmq, or of one that was never released, is reported as such and not changed by a byte."""
        with opened(path) as queue:
            put(queue, 1)
        sql = apsw.Connection(str(path))
        sql.pragma("user_version", version)
        sql.close()
        before = digest(path)
        with pytest.raises(StoreRefused, match=rf"{told}.*\(schema {version}"):
            opened(path)
        assert digest(path) == before


class TestRefusal:
    def test_somebody_elses_database(self, path: Path) -> None:
        """A database of another program is refused and not changed by a byte."""
        sql = apsw.Connection(str(path))
        sql.execute("CREATE TABLE msg_dstdb (id INTEGER)")
        sql.close()
        before = digest(path)
        with pytest.raises(StoreRefused, match="is not an fmq database"):
            opened(path)
        assert digest(path) == before

    def test_an_empty_file_is_a_new_database(self, path: Path) -> None:
        """A file without a byte, as `touch` makes it, is nobody's."""
        path.touch()
        with opened(path) as queue:
            put(queue, 1)

    def test_a_read_only_folder(self) -> None:
        """A folder where nobody, not even root, can make a file is reported as such."""
        with pytest.raises(StoreRefused, match="can't be"):
            opened(Path("/proc/self/queue.db"))

    def test_not_there(self, path: Path) -> None:
        """Who only wants to look does not make a database."""
        with pytest.raises(NoStore, match="does not exist"):
            open_store(f"sqlite:///{path}", create=False)
        assert not path.exists()

    def test_not_there_but_another(self, path: Path) -> None:
        """The error names the databases of the folder, and not the files of other kinds."""
        with opened(path.with_name("orders.db")) as queue:
            put(queue, 1)
        path.with_name("text.db").write_text("no database")
        with pytest.raises(NoStore, match=r"Did you mean orders\.db in that folder\?"):
            open_store(f"sqlite:///{path}", create=False)

    def test_not_there_yet(self, path: Path) -> None:
        """An empty file, which a listener may be about to fill, is not a store yet, and stays as it is."""
        path.touch()
        with pytest.raises(NoStore, match="does not exist"):
            open_store(f"sqlite:///{path}", create=False)
        assert [(one.name, one.stat().st_size) for one in path.parent.iterdir()] == [(path.name, 0)]

    def test_another_scheme(self) -> None:
        """A URL that no backend accepts is an invalid setting."""
        with pytest.raises(SettingsError, match="sqlite:///"):
            open_store("mysql://x/y")


class TestDamage:
    def damaged(self, path: Path) -> str:
        with opened(path) as queue:
            put(queue, 5_000, size=100)
        with path.open("r+b") as file:
            for page in range(20, 60):
                file.seek(page * 4096)
                file.write(os.urandom(4096))
        return digest(path)

    def test_is_told_and_left_alone(self, path: Path) -> None:
        """A damaged file is refused at start, with what to do, and not changed by a byte."""
        before = self.damaged(path)
        with pytest.raises(StoreDamaged, match=r"damaged.*fmq set-aside"):
            opened(path)
        assert digest(path) == before

    def test_no_database_at_all(self, path: Path) -> None:
        """So is a file that never was a database."""
        path.write_bytes(b"hello" * 1000)
        with pytest.raises(StoreDamaged):
            opened(path)
        assert path.read_bytes() == b"hello" * 1000

    def test_only_the_operator_sets_it_aside(self, path: Path) -> None:
        """On an explicit word it is kept, whole, under a new name, and a new one can begin."""
        before = self.damaged(path)
        kept = Path(backend_of(f"sqlite:///{path}").set_aside(f"sqlite:///{path}"))
        assert digest(kept) == before
        assert not path.exists()
        with opened(path) as queue:
            put(queue, 1)

    def test_not_while_it_is_in_use(self, path: Path) -> None:
        """A database that another process has open is not moved."""
        with opened(path) as queue:
            put(queue, 1)
        code = f"import apsw, sys; c = apsw.Connection({str(path)!r}); c.pragma('user_version'); print(1, flush=True); sys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as other:
            assert other.stdout is not None
            other.stdout.readline()
            with pytest.raises(StoreRefused, match="in use"):
                backend_of(f"sqlite:///{path}").set_aside(f"sqlite:///{path}")
            other.communicate()
        assert path.exists()

    def test_nothing_to_set_aside(self, path: Path) -> None:
        """Without a file, it does nothing."""
        with pytest.raises(StoreRefused, match="does not exist"):
            backend_of(f"sqlite:///{path}").set_aside(f"sqlite:///{path}")


class TestAvailability:
    def test_a_full_database(self, path: Path) -> None:
        """A commit that finds no room is reported as such, none of it is stored, and the next one works when there is."""
        with opened(path) as queue:
            put(queue, 10)
            sql = queue._database.sql  # type: ignore[attr-defined]
            sql.pragma("max_page_count", sql.pragma("page_count") + 2)
            with pytest.raises(StoreUnavailable, match="full"):
                put(queue, 1_000, size=1000)
            assert queue.stats("q").pending == 10
            for claim in queue.claim("q", 10, lease=1):  # what is there can be handled all the same
                assert list(queue.settle([(claim, Done())])) == []
            sql.pragma("max_page_count", 1_000_000)
            put(queue, 1_000, size=1000)
            assert queue.stats("q").pending == 1_000

    def test_another_writer_for_too_long(self, path: Path) -> None:
        """A lock that is not given up in time is reported as such."""
        with opened(path) as queue, opened(path, busy_seconds=0.01) as other:
            put(queue, 1)
            with queue._database.write(), pytest.raises(StoreUnavailable, match="locked"):  # type: ignore[attr-defined]
                put(other, 1)


class TestSpace:
    def test_the_file_shrinks(self, path: Path) -> None:
        """After a flood has been handled and deleted, most of the space is given back."""
        with opened(path) as queue:
            put(queue, 30_000, size=1000)
            while claims := queue.claim("q", 5_000, lease=60):
                queue.settle([(claim, Done()) for claim in claims])
            for _ in range(100):
                queue.maintain(Retention(done_seconds=0))
            assert queue.stats("q").done == 0
            assert queue.store_stats().database_bytes < 30_000 * 1_000


@pytest.mark.parametrize("ordered", [False, True])
def test_the_cost_does_not_grow_with_the_backlog(path: Path, *, ordered: bool) -> None:
    """Claims, settlements and figures take as many steps of SQLite's machine at 20,000 pending as at 200."""
    steps = []
    for more in (200, 19_800):
        with opened(path) as queue:
            put(queue, more)
            for claim in queue.claim("q", 50, lease=60, ordered=ordered):
                queue.settle([(claim, RetryLater(1e6))])  # some that wait for their retry, too
            queue.claim("q", 1, lease=60, ordered=ordered)
            ticks: list[None] = []
            queue._database.sql.set_progress_handler(partial(_tick, ticks), 20)  # type: ignore[attr-defined]
            claims = queue.claim("q", 10, lease=60, ordered=ordered)
            queue.extend(claims, lease=60)
            queue.settle([(claim, Done()) for claim in claims])
            queue.stats("q")
            steps.append(len(ticks))
    assert steps[1] <= steps[0] * 1.2 + 5


@pytest.mark.parametrize("ordered", [False, True])
def test_the_cost_does_not_grow_with_what_was_handled(path: Path, *, ordered: bool) -> None:
    """Nor does it matter how many handled messages are still kept: 200 or 10,000."""
    steps = []
    for more in (200, 9_800):
        with opened(path) as queue:
            queue.declare("q")
            queue.put([Incoming("q", f"t/{number % 50}", b"x", 1.0) for number in range(more)])
            while claims := queue.claim("q", 50, lease=60, ordered=ordered):
                queue.settle([(claim, Done()) for claim in claims])
            put(queue, 1)
            ticks: list[None] = []
            queue._database.sql.set_progress_handler(partial(_tick, ticks), 20)  # type: ignore[attr-defined]
            queue.stats("q")
            (claim,) = queue.claim("q", 10, lease=60, ordered=ordered)
            queue.settle([(claim, Done())])
            queue.stats("q")
            queue.claim("q", 10, lease=60, ordered=ordered)
            steps.append(len(ticks))
    assert steps[1] <= steps[0] * 1.2 + 5


def test_the_cost_does_not_grow_with_what_is_delayed(path: Path) -> None:
    """What waits for its time is passed once and not looked at again: 200 or 10,000 messages."""
    steps = []
    for more in (200, 9_800):
        with opened(path) as queue:
            queue.declare("q")
            queue.put(
                [Incoming("q", "t", b"x", 1.0) for _ in range(more)],
                terms={number: Terms(delay=1e6) for number in range(more)},
            )
            assert queue.claim("q", 10, lease=60) == []
            ticks: list[None] = []
            queue._database.sql.set_progress_handler(partial(_tick, ticks), 20)  # type: ignore[attr-defined]
            assert queue.claim("q", 10, lease=60) == []
            queue.stats("q")
            steps.append(len(ticks))
    assert steps[1] <= steps[0] * 1.2 + 5


def test_the_cost_of_figures_does_not_grow_with_what_is_set_aside(path: Path) -> None:
    """Or given back: 200 or 5,000 messages of three routes."""
    steps = []
    for more in (200, 4_800):
        with opened(path) as queue:
            put(queue, more)
            claims = queue.claim("q", more, lease=60)
            settlements = [GiveBack(300, name) for name in ("", "a", "b")] + [GiveBack()]
            queue.settle([(claim, settlements[number % 4]) for number, claim in enumerate(claims)])
            ticks: list[None] = []
            queue._database.sql.set_progress_handler(partial(_tick, ticks), 20)  # type: ignore[attr-defined]
            assert queue.stats("q").oldest_due_at is not None
            steps.append(len(ticks))
    assert steps[1] <= steps[0] * 1.2 + 5


def test_the_cost_of_a_page_does_not_grow(path: Path) -> None:
    """A step of each list, a message, a group of dead letters: as many steps of SQLite's machine at 20,000 as at 1,000."""
    steps = []
    for more in (1_000, 19_000):
        with opened(path) as queue:
            put(queue, more)
            claims = queue.claim("q", more // 2, lease=60)
            outcomes = (Done(), Dead("no 1"), RetryLater(1e6, "later"), None)
            queue.settle([(claim, outcome) for i, claim in enumerate(claims) if (outcome := outcomes[i % 4])])
            ticks: list[None] = []
            queue._database.sql.set_progress_handler(partial(_tick, ticks), 20)  # type: ignore[attr-defined]
            for state in State:
                page = queue.heads("q", Selection(state), limit=10, within=100)
                queue.heads("q", Selection(state), limit=10, within=100, before=page.before)
                queue.heads("q", Selection(state), limit=10, within=100, text="nowhere")
            queue.detail("q", claims[2].message.id)
            queue.dead_groups("q", within=100)
            queue.retrying("q", most=100)
            steps.append(len(ticks))
    assert steps[1] <= steps[0] * 1.2 + 5


def _tick(ticks: list[None]) -> bool:
    ticks.append(None)
    return False  # go on


def test_no_two_files_have_the_same_identity(tmp_path: Path) -> None:
    """It is made by chance, once a file, and kept."""
    made = []
    for name in ("a", "b", "a"):
        with open_store(f"sqlite:///{tmp_path}/{name}.db") as queue:
            made.append(queue.identity())
    assert made[0] == made[2] != made[1]
