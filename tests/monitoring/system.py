"""Two installations, watched by one Prometheus whose minutes are seconds, with the project's Alertmanager behind it."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from fmq_monitoring.parameters import Parameters, Thresholds
from fmq_monitoring.rules import prometheus

from monitoring.installation import QUEUE, RARE, Installation
from monitoring.programs import MONITORING, Alertmanager, Prometheus, Target, shortened
from support.wait import wait_for

_PARTS = ("listener", "processor", "processor-2")
_MEGABYTE = 1024 * 1024
_ALWAYS = {"FmqIntakeStopped"}
_LARGE_DISK = 64 * 1024 * _MEGABYTE
# fmq lets its log keep 64 MiB. A queue's depth is looked at from a tenth of the limit on.
_SMALL = Thresholds(
    age="15s", depth=300, predicted_depth=2000, wal=72 * _MEGABYTE, free_disk=_MEGABYTE, versions_differ="5m"
)
_SECONDS = {
    "FmqNoProgress": {"> 600": "> 10"},
    "FmqBacklogWillBeLarge": {"4 * 3600": "4 * 60"},
    "FmqDiskFillsUp": {"24 * 3600": "24 * 60"},
}
"""Times within expressions that are not ranges, where an hour is a minute."""


class Alert(NamedTuple):
    """An alert that fires, and the installation that it says it is about."""

    name: str
    installation: str


def _rules(*, free_disk: int = _MEGABYTE) -> str:
    thresholds = {**_SMALL.__dict__, "free_disk": free_disk} if free_disk != _MEGABYTE else _SMALL.__dict__
    return shortened(prometheus(Parameters(thresholds=Thresholds(**thresholds))), _SECONDS)


class System:
    """The installations ``north`` and ``south``. Their stores are on different disks if there are two."""

    def __init__(self, folder: Path, other_disk: Path) -> None:
        self.folder = folder
        self.north = Installation("north", folder / "north", queues=(QUEUE, RARE), rate=40)
        self.south = Installation(
            "south", other_disk / "south", queues=(QUEUE,), rate=10, FMQ_DEAD_RETENTION_SECONDS="1"
        )
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as begun:
            for one in (self.north, self.south):
                begun.enter_context(one)
            config = MONITORING / "alertmanager" / "alertmanager.yml"
            (self.folder / "alertmanager").mkdir()
            self.alertmanager = begun.enter_context(Alertmanager(self.folder / "alertmanager", config))
            self.targets = [one.target(part) for one in (self.north, self.south) for part in _PARTS]
            self.prometheus = begun.enter_context(
                Prometheus(self.folder / "prometheus", _rules(), self.targets, alertmanager=self.alertmanager.port)
            )
            nothing_yet = f'fmq_stored_total{{queue="{RARE}"}} == 0'
            wait_for(lambda: self.prometheus.query(nothing_yet), what="Prometheus to see the listener")
            self.north.publish_rarely()
            self._ends = begun.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ends.close()

    def restart_processor(self, of: Installation) -> None:
        """End the second processor, start it anew, and wait until Prometheus has seen that."""

        def started() -> str:
            found = self.prometheus.query(f'process_start_time_seconds{{instance="{of.instance("processor-2")}"}}')
            return str(found[0]["value"][1]) if found else ""

        before = started()
        of.restart_processor()
        wait_for(lambda: started() not in ("", before), what="Prometheus to see the start")

    @contextmanager
    def watching(self, target: Target) -> Iterator[None]:
        """Prometheus asks one target more for a while, as when a service is scaled out and in."""
        self.prometheus.watch([*self.targets, target])
        try:
            yield
        finally:
            self.prometheus.watch(self.targets)
            gone = f'up{{instance="127.0.0.1:{target.port}"}}'
            wait_for(lambda: not self.prometheus.query(gone), what="Prometheus to forget the target")

    @contextmanager
    def smaller_disk(self) -> Iterator[tuple[Installation, int]]:
        """The installation with less free space, and the bytes to take from it: half of them are above the alert's limit."""
        one = min((self.north, self.south), key=lambda one: shutil.disk_usage(one.folder).free)
        disk = shutil.disk_usage(one.folder)
        room = 2048 * _MEGABYTE if disk.total > _LARGE_DISK else min(256 * _MEGABYTE, disk.free // 4)
        self.prometheus.reload(_rules(free_disk=disk.free - room // 2))
        try:
            yield one, room
        finally:
            self.prometheus.reload(_rules())

    def firing(self) -> set[Alert]:
        """What fires, but for what the queue that gets nothing fires all the time, until its own test."""
        return {
            Alert(one["alertname"], one.get("installation", ""))
            for one in self.prometheus.alerts()
            if one["alertname"] not in _ALWAYS
        }

    def fires(
        self, expected: Mapping[Installation, set[str]], also: Mapping[Installation, set[str]], deadline: float = 120.0
    ) -> None:
        """Wait until all of ``expected`` fire, each for its installation. Nothing else may but ``also``."""
        wanted = {Alert(name, one.name) for one, names in expected.items() for name in names}
        allowed = wanted | {Alert(name, one.name) for one, names in also.items() for name in names}
        seen: set[Alert] = set()

        def all_fire() -> bool:
            now = self.firing()
            seen.update(now)
            assert seen <= allowed, f"nobody asked for {seen - allowed}"
            return wanted <= now

        try:
            wait_for(all_fire, deadline, what="the alerts")
        except AssertionError as error:
            raise AssertionError(f"{error}; missing: {sorted(wanted - self.firing())}, seen: {sorted(seen)}") from None

    def instances(self, alert: str) -> set[str]:
        """The instances for which an alert fires."""
        return {one["instance"] for one in self.prometheus.alerts() if one["alertname"] == alert}

    def wait_until_quiet(self, deadline: float = 60.0) -> None:
        """Wait until no alert fires."""
        try:
            wait_for(lambda: not self.firing(), deadline, what="all alerts to clear")
        except AssertionError as error:
            raise AssertionError(f"{error}: {sorted(self.firing())}") from None


def other_disk() -> Path:
    """A folder on a disk of its own where the system has one in memory: then a disk is full for one installation only."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder in it has a name of its own
    assert os.access(memory, os.W_OK), f"{memory} is missing"
    return memory
