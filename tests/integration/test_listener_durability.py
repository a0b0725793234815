"""The listener's commits reach the disk before it acknowledges: seen at the disk, below SQLite."""

import sys
from pathlib import Path

import pytest

from support.broker import Broker, publish
from support.processes import Processes
from support.rows import Rows
from support.wait import wait_for

_PROGRAM = '''
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from fmq.cli.main import main
from support.disk import installed

class Syncs:
    """Notes each sync of the log."""
    def opened(self, path): ...
    def read(self, path): ...
    def write(self, path, data, offset): ...
    def truncate(self, path, size): ...
    def delete(self, path): ...
    def sync(self, path):
        if path.name.endswith("-wal"):
            with open("syncs", "a") as out:
                print("sync", file=out)

with installed(Syncs()):
    main()
'''
_COMMITS = 20


@pytest.mark.parametrize(("setting", "each"), [({}, True), ({"FMQ_SYNCHRONOUS": "NORMAL"}, False)])
def test_each_commit_is_synced(
    broker: Broker, tmp_path: Path, database: Path, setting: dict[str, str], *, each: bool
) -> None:
    """With the usual settings every commit is one sync of the log, at least; with NORMAL, the control, hardly any is."""
    program = (sys.executable, "-c", _PROGRAM.format(tests=str(Path(__file__).parents[1])))
    syncs = tmp_path / "syncs"
    with Processes(tmp_path, program=program) as processes:
        listener = processes.start("listen", "w", FMQ_BROKER_URL=broker.url, **setting)
        listener.wait_to_say("Connected and subscribed successfully")
        rows = Rows(database)
        # Upkeep writes too, with NORMAL and a few times a minute: more commits than that.
        before = _count(syncs)
        for number in range(_COMMITS):
            publish(broker.port, [("w", b"%d" % number)])
            wait_for(lambda number=number: rows.holds("w", b"%d" % number), what="its row")  # type: ignore[misc]
        synced = _count(syncs) - before
        assert listener.terminate() == 0
        rows.close()
    assert (synced >= _COMMITS) == each, synced


def _count(syncs: Path) -> int:
    return len(syncs.read_text().splitlines()) if syncs.exists() else 0
