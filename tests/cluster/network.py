"""A network of hosts that a test makes within its own network namespace: a bridge, and a namespace for each host."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

_PLACES = Path("/run/netns")
HUB = "10.77.0.1"


class Host:
    """One host on the bridge. Programs run in it by ``command``."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self._mutes: list[str] = []

    def command(self, *arguments: str, user: int | None = None) -> Sequence[str]:
        """What to run so that ``arguments`` run on this host. The process keeps its id."""
        drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user is not None else []
        return ["nsenter", f"--net={_PLACES / self.name}", *drop, *arguments]

    def cut_off(self) -> None:
        """Let nothing reach it any more, and nothing leave it. No connection is closed."""
        _ip("link", "set", f"to-{self.name}", "down")

    def reconnect(self) -> None:
        """Undo ``cut_off`` and ``mute``."""
        _ip("link", "set", f"to-{self.name}", "up")
        for address in self._mutes:
            _ip("-n", self.name, "route", "del", "blackhole", address)
        self._mutes.clear()

    def mute(self, other: "Host") -> None:
        """Let it hear ``other``, and not answer."""
        _ip("-n", self.name, "route", "add", "blackhole", other.address)
        self._mutes.append(other.address)


def make_network(names: Sequence[str]) -> Sequence[Host]:
    """A bridge on which this process has the address HUB, and a host for each name. It ends with the process's namespace."""
    _require_own_namespace()
    _PLACES.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(_PLACES)], check=True)
    _ip("link", "set", "lo", "up")
    _ip("link", "add", "bridge", "type", "bridge")
    _ip("address", "add", f"{HUB}/24", "dev", "bridge")
    _ip("link", "set", "bridge", "up")
    return [_add(Host(name, f"10.77.0.{number}")) for number, name in enumerate(names, 11)]


def _add(host: Host) -> Host:
    name = host.name
    _ip("netns", "add", name)
    _ip("link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("link", "set", f"to-{name}", "master", "bridge", "up")
    _ip("-n", name, "link", "set", "lo", "up")
    _ip("-n", name, "address", "add", f"{host.address}/24", "dev", "eth0")
    _ip("-n", name, "link", "set", "eth0", "up")
    return host


def _require_own_namespace() -> None:
    links = subprocess.run(["ip", "-brief", "link"], check=True, capture_output=True, text=True).stdout
    assert [line.split()[0] for line in links.splitlines()] == ["lo"], (
        "run by tests/cluster/isolated (make test-cluster)"
    )


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
