"""Pages are run with the wheels that make dist has built, in a network of their own that holds a Mosquitto."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.terminal import Terminal
from support.wait import wait_for
from support.walkthrough import Walk

ROOT = Path(__file__).parents[2]
_HERE = Path(__file__).parent
_WAITS = "ip link set lo up && exec sleep infinity"
_OF_PIP = ("PIP_CERT", "PIP_DEFAULT_TIMEOUT", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True)
class Network:
    """A network of its own, with a loopback device only. ``enter`` is what a command in it begins with."""

    enter: tuple[str, ...]

    @contextmanager
    def broker(self, *prefix: str) -> Iterator[None]:
        """A Mosquitto at 127.0.0.1:1883, started with ``prefix``, until the end."""
        command = [*self.enter, *prefix, "mosquitto", "-p", "1883"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        accepts = [*self.enter, "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/1883"]
        try:
            wait_for(
                lambda: subprocess.run(accepts, capture_output=True, check=False).returncode == 0, what="Mosquitto"
            )
            yield
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def network() -> Iterator[Network]:
    """Lasts as long as the test."""
    if os.geteuid() != 0:
        pytest.fail("pages are run in a network namespace: run this as root")
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", _WAITS])
    ours = Path("/proc/self/ns/net").readlink()
    wait_for(lambda: Path(f"/proc/{holder.pid}/ns/net").readlink() != ours, what="the network namespace")
    yield Network(("nsenter", f"--net=/proc/{holder.pid}/ns/net"))
    holder.terminate()
    holder.wait(10)


@pytest.fixture
def walk(tmp_path: Path, network: Network) -> Iterator[Walk]:
    """In an empty folder. What needs the network sees this machine's; the rest sees a broker at 127.0.0.1:1883 and nothing else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FMQ_", "PYTHON", "VIRTUAL_ENV"))}
    path = os.pathsep.join(one for one in kept["PATH"].split(os.pathsep) if not Path(one).is_relative_to(ROOT))
    environ = {**kept, "PATH": path, "PIP_FIND_LINKS": f"{ROOT / 'dist'} {kept.get('PIP_FIND_LINKS', '')}".strip()}

    def open_terminal(needs_network: bool) -> Terminal:  # noqa: FBT001 - as Walk calls it
        return Terminal(tmp_path, environ, prefix=() if needs_network else network.enter)

    with network.broker():
        yield Walk(tmp_path, open_terminal)


@pytest.fixture
def walk_on_new_machine(network: Network) -> Iterator[Walk]:
    """In an empty folder of a new Debian, as root."""
    with subprocess.Popen(
        [_HERE / "new-machine", ROOT / "dist"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as machine:
        assert machine.stdout
        root = machine.stdout.readline().strip()
        assert root, "the new machine could not be made"
        yield from _in(root, network)


def _in(root: str, network: Network) -> Iterator[Walk]:
    environ = {
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PIP_FIND_LINKS": "/opt/wheels",
        "DEBIAN_FRONTEND": "noninteractive",
        **{name: os.environ[name] for name in _OF_PIP if name in os.environ},
    }
    inside = ("chroot", root, "env", "--chdir=/root/fmq")
    until_the_end = ExitStack()

    def open_terminal(needs_network: bool) -> Terminal:  # noqa: FBT001 - as Walk calls it
        prefix: Sequence[str] = inside if needs_network else (*network.enter, *inside)
        return Terminal(Path("/"), environ, prefix=prefix)

    def start_broker() -> None:
        """Debian starts it at once; this place has no init."""
        until_the_end.enter_context(network.broker("chroot", root))

    with until_the_end:
        yield Walk(Path(root, "root/fmq"), open_terminal, set_up_machine=start_broker)
