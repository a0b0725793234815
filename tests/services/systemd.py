"""A machine whose first process is a real systemd, with fmq installed as deploy/systemd/install does it."""

import json
import subprocess
from pathlib import Path
from typing import Any, Self

from support.wait import wait_for

_MACHINE = Path(__file__).with_name("machine")


class Machine:
    """Runs commands inside tests/services/machine."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [_MACHINE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, text=True
            )
        assert self._process.stdout is not None
        self._pid = self._process.stdout.readline().strip()
        assert self._pid, f"the machine did not start:\n{self.log}"

    @property
    def log(self) -> str:
        """What its start and its systemd have written."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def run(self, *command: str, stdin: str = "", check: bool = True) -> str:
        """What ``command`` prints, run as root inside."""
        done = subprocess.run(
            ["nsenter", "--target", self._pid, "--all", "--root", "--wd=/", "env", "-i", f"PATH={_PATH}", *command],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}\n{self.log[-2000:]}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Make a file that only root can read, with its folder."""
        self.run("install", "-D", "-m", "600", "/dev/stdin", path, stdin=text)

    def systemctl(self, *words: str, check: bool = True) -> str:
        return self.run("systemctl", *words, check=check)

    def drop_in(self, unit: str, *lines: str) -> None:
        """Change a unit's [Service] section, in place of an earlier change of the test's."""
        self.write(f"/run/systemd/system/{unit}.d/test.conf", "\n".join(["[Service]", *lines, ""]))
        self.systemctl("daemon-reload")

    def show(self, unit: str, name: str) -> str:
        """A unit's property, as systemctl show names it."""
        return self.systemctl("show", "--value", "--property", name, unit).strip()

    def await_property(self, unit: str, name: str, value: str) -> None:
        """Wait until a property has the value somewhere in it."""
        wait_for(lambda: value in self.show(unit, name), 30, what=f"{value!r} in {unit}'s {name}")

    def journal(self, unit: str) -> str:
        """What the unit, and systemd about it, have logged in its last run."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")

    def queues(self) -> dict[str, Any]:
        """`fmq status`, by queue."""
        told = json.loads(self.run("/opt/fmq/bin/fmq", "status", "--json", "--queue-url", _QUEUE_URL))
        return {one["queue"]: one for one in told["queues"]}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate(timeout=30)


_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_QUEUE_URL = "sqlite:////var/lib/fmq/mqtt_queue.db"
