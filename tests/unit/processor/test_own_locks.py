"""A handler that opens the queue's own file would drop SQLite's locks: a processor refuses it."""

import subprocess
import sys
from pathlib import Path

from fmq.store.backends import open_store

_OPENED = """
import os, shutil, sqlite3, sys
from pathlib import Path
from fmq.store.backends import backend_of, open_store
url = "sqlite:///q.db"
with open_store(url) as queue:
    backend_of(url).protect(url)
    with open_store(url) as again, open_store("sqlite:///other.db") as other:
        queue.declare("q"); again.declare("r"); other.declare("s")
    Path("plain.txt").write_text("x")
    sqlite3.connect("mine.db").close()
    sqlite3.connect(":memory:").close()
    os.close(os.dup(0))
    os.mkdir("sub")
    sqlite3.connect("sub/q.db").close()  # another file of that name
    for what in {}:
        try:
            eval(what)
        except Exception as error:
            print(type(error).__name__, error)
        else:
            print("nothing happened:", what)
"""


_WAYS = [
    "sqlite3.connect('q.db')",
    "sqlite3.connect(Path('q.db').absolute())",
    "sqlite3.connect(f'file:{os.getcwd()}/q.db?mode=ro', uri=True)",
    "sqlite3.connect(f'file://localhost{os.getcwd()}/q.db?mode=ro', uri=True)",
    "sqlite3.connect('file:%71.db#part', uri=True)",
    "sqlite3.connect('file:q.db%00x?mode=ro', uri=True)",
    "sqlite3.connect('sub/../q.db')",
    "sqlite3.connect(b'q.db')",
    "open('q.db', 'rb')",
    "Path('q.db').read_bytes()",
    "shutil.copy('q.db', 'copy.db')",
    "os.open('q.db', os.O_RDONLY)",
    "open('q.db-shm', 'rb')",
    "(os.symlink('q.db', 'symbolic'), sqlite3.connect('symbolic'))",
    "(os.link('q.db', 'hard'), sqlite3.connect('hard'))",
]


def test_it_is_refused(tmp_path: Path) -> None:
    """However it is named; fmq's own connections and all other files are not concerned."""
    told = subprocess.run(
        [sys.executable, "-c", _OPENED.format(_WAYS)], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(told) == len(_WAYS)
    for line in told:
        assert line.startswith("StoreOpenedTwice")
        assert "fmq backup" in line
    with open_store(f"sqlite:///{tmp_path}/q.db") as queue:
        assert queue.names() == ["q", "r"]
