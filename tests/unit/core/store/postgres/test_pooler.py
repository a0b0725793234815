"""A real PgBouncer before a real server."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fmq.errors import StoreRefused
from fmq.finding import Level
from fmq.store.backends import backend_of, open_store
from fmq.store.options import StoreOptions
from support.broker import free_port
from support.postgres import shared_server
from support.wait import wait_for

pytestmark = pytest.mark.postgres
_SETTINGS = """
[databases]
test = host=127.0.0.1 port={server} dbname=test user=fmq
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
"""


@contextmanager
def pooler(folder: Path, mode: str) -> Iterator[str]:
    """Yields the URL of the test's database behind it."""
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, "pgbouncer is missing: `make test-postgres` installs it"
    port = free_port()
    settings = folder / "pgbouncer.ini"
    settings.write_text(_SETTINGS.format(server=shared_server().port, port=port, mode=mode), encoding="utf-8")
    as_another = ["-u", "nobody"] if os.geteuid() == 0 else []
    with settings.open("rb") as file, (folder / "log").open("wb") as log:
        # By its descriptor: the folder is not open to the user that it runs as.
        process = subprocess.Popen(
            [found, *as_another, f"/dev/fd/{file.fileno()}"], pass_fds=[file.fileno()], stdout=log, stderr=log
        )
        try:
            wait_for(lambda: _answers(port, process, folder / "log"), what="the pooler to listen")
            yield f"postgresql://fmq@127.0.0.1:{port}/test"
        finally:
            process.kill()
            process.wait()


def _answers(port: int, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text("utf-8")
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_it_is_refused(tmp_path: Path, mode: str) -> None:
    """A pooler would mix up sessions. Services and doctor say: connect to the server itself."""
    with pooler(tmp_path, mode) as url:
        with pytest.raises(StoreRefused, match=r"a connection pooler .* Connect to the server itself"):
            open_store(url)
        (finding,) = backend_of(url).diagnose(url, StoreOptions(), thorough=False)
    assert (finding.about, finding.level) == ("server", Level.PROBLEM)
    assert "connection pooler" in finding.text
