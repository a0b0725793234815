"""The project's compose file, brought up under a name and on ports of its own, and taken down without a trace."""

import json
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from support.broker import free_port
from support.containers.engine import ROOT, Engine
from support.wait import wait_for

HANDLERS = ROOT / "tests" / "containers" / "handlers"
QUEUE = "sensors/#"
_GRACE_SECONDS = 45
_SECOND = {"interval": "1s", "timeout": "10s", "retries": 10}
QUICK: Mapping[str, Any] = {
    "services": {name: {"healthcheck": _SECOND} for name in ("mosquitto", "listener", "processor", "web")}
}
CLUSTER = ("postgres-1", "postgres-2", "postgres-3")
ETCD = ("etcd-1", "etcd-2", "etcd-3")
"""An override: health checks every second, so that a stack is up sooner."""


class Container:
    """One container of a stack. Its id stays when it is killed and started again."""

    def __init__(self, engine: Engine, container: str) -> None:
        self._engine = engine
        self.id = container

    def inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._engine.docker("inspect", self.id).stdout)[0]
        return found

    @property
    def running(self) -> bool:
        return bool(self.inspect()["State"]["Running"])

    @property
    def restarts(self) -> int:
        """How often the engine has started it again after it ended on its own."""
        return int(self.inspect()["RestartCount"])

    @property
    def exit_code(self) -> int:
        """Of a container that has ended."""
        state = self.inspect()["State"]
        assert not state["Running"], "it still runs"
        return int(state["ExitCode"])

    def run(self, *command: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return self._engine.docker("exec", "-i", self.id, *command, check=check, stdin=stdin)

    @property
    def output(self) -> list[str]:
        """The lines that it has written."""
        done = self._engine.docker("logs", self.id)
        return (done.stdout + done.stderr).splitlines()

    def stop(self) -> None:
        """Ask it to end, and wait as long as its grace period lasts."""
        self._engine.docker("stop", "--time", str(_GRACE_SECONDS), self.id, deadline=_GRACE_SECONDS + 15)

    def kill(self) -> None:
        """End its process as the kernel does when memory runs out (SIGKILL), and wait until the engine has started it again.

        Not by `docker kill`: after that the engine takes the container for stopped on purpose.
        """
        before = self.inspect()["State"]
        image = self.inspect()["Image"]
        pid = str(before["Pid"])
        self._engine.docker(
            *("run", "--rm", "--pid", "host", "--user", "0", "--entrypoint", "/bin/sh", image, "-c", f"kill -9 {pid}")
        )

        def back() -> bool:
            state = self.inspect()["State"]
            return bool(state["Running"]) and state["StartedAt"] != before["StartedAt"]

        wait_for(back, 60, what="the engine to start the container again")


class Stack:
    """One run of docker-compose.yml. ``variables`` are those of .env.example, ``overrides`` more compose files."""

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        *,
        images: Mapping[str, str],
        overrides: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.engine = engine
        self.broker_port = free_port()
        self.listener_port = free_port()
        self.web_port = free_port()
        self.project = f"fmq-test-{os.getpid()}-{self.broker_port}"
        self.variables = {
            **images,
            "FMQ_BROKER_PORT": str(self.broker_port),
            "FMQ_LISTENER_PORT": str(self.listener_port),
            "FMQ_WEB_PORT": str(self.web_port),
            "FMQ_HANDLERS_FOLDER": str(HANDLERS),
            **(variables or {}),
        }
        self._folder = folder
        self._files = [ROOT / "docker-compose.yml"]
        for number, override in enumerate(overrides):
            path = folder / f"override-{number}.yml"
            path.write_text(json.dumps(override), encoding="utf-8")
            self._files.append(path)

    def compose(
        self, *arguments: str, check: bool = True, deadline: float = 120.0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker compose arguments…``. A .env file that lies about is not read."""
        files = [word for path in self._files for word in ("--file", str(path))]
        return self.engine.docker(
            *("compose", "--project-directory", str(ROOT), "--env-file", os.devnull, "--project-name", self.project),
            *files,
            *arguments,
            check=check,
            deadline=deadline,
            stdin=stdin,
            environ=self.variables,
        )

    def up(self, *arguments: str) -> None:
        """Bring services up, and wait until they are healthy."""
        done = self.compose("up", "--detach", "--no-build", "--wait", *arguments, check=False, deadline=180)
        assert done.returncode == 0, f"it did not come up:\n{done.stderr}"

    @property
    def files(self) -> Sequence[Path]:
        """The compose files of the stack, in order."""
        return tuple(self._files)

    def override_files(self, override: Mapping[str, Any]) -> Sequence[Path]:
        """The compose file of the project, and this override alone."""
        path = self._folder / "alone.yml"
        path.write_text(json.dumps(override), encoding="utf-8")
        return self._files[0], path

    def run_line(self, line: str, deadline: float = 180.0, *, files: Sequence[Path] = ()) -> None:
        """Run a line of a shell as people type it; ``VARIABLE=value docker compose …`` is about this stack.

        With ``files``, about these compose files instead of its own.
        """
        ours = {
            "COMPOSE_FILE": ":".join(map(str, files or self._files)),
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_DISABLE_ENV_FILE": "1",
        }
        done = subprocess.run(
            ["bash", "-euc", line],
            cwd=ROOT,
            env={**self.engine.environ, **self.variables, **ours},
            capture_output=True,
            text=True,
            check=False,
            timeout=deadline,
        )
        assert done.returncode == 0, f"{line} ended with {done.returncode}:\n{done.stdout}{done.stderr}"

    def down(self) -> None:
        """Remove all of it: containers, network, volumes."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "1")

    def logs(self, *services: str) -> str:
        return self.compose("logs", "--no-color", "--tail", "60", *services, check=False).stdout

    def containers(self, service: str) -> list[Container]:
        """The containers of a service, running or not."""
        found = self.compose("ps", "--all", "--quiet", service).stdout.split()
        return [Container(self.engine, one) for one in found]

    def only(self, service: str) -> Container:
        [container] = self.containers(service)
        return container

    @property
    def listener(self) -> Container:
        return self.only("listener")

    def publish(self, topic: str, payloads: Sequence[str], *, options: Sequence[str] = ()) -> None:
        """Publish with the broker's own client, one line per message, at QoS 1."""
        self.only("mosquitto").run(
            "mosquitto_pub", "-q", "1", "-t", topic, "-l", *options, stdin="".join(f"{line}\n" for line in payloads)
        )

    def status(self, queue: str = QUEUE) -> dict[str, Any]:
        """What `fmq status` in the listener says about a queue."""
        found = json.loads(self.listener.run("fmq", "status", "--json").stdout)["queues"]
        one: dict[str, Any] = next(one for one in found if one["queue"] == queue)
        return one

    def wait_for_done(self, count: int, deadline: float = 60.0) -> dict[str, Any]:
        """Wait until ``count`` messages are done and none is pending or claimed."""

        def done() -> dict[str, Any]:
            now = self.status()
            return now if (now["pending"], now["claimed"]) == (0, 0) and now["done"] >= count else {}

        try:
            return wait_for(done, deadline, what=f"{count} messages done")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.status()}") from None

    def rows(self, columns: str, condition: str = "1", *, queue: str = QUEUE) -> list[list[Any]]:
        """Columns of a queue's rows, in order, read in the listener's container by SQL of the test's own."""
        program = (
            "import apsw, json, sys\n"
            "sql = apsw.Connection('/data/mqtt_queue.db', flags=apsw.SQLITE_OPEN_READONLY)\n"
            "sql.set_busy_timeout(10000)\n"
            "table = sql.execute('SELECT table_name FROM fmq_queue WHERE name = ?', (sys.argv[1],)).get\n"
            "found = sql.execute(f'SELECT {sys.argv[2]} FROM \"{table}\" WHERE {sys.argv[3]} ORDER BY id')\n"
            "print(json.dumps(found.fetchall()))\n"
        )
        found: list[list[Any]] = json.loads(
            self.listener.run("python", "-", queue, columns, condition, stdin=program).stdout
        )
        return found

    def payloads(self, condition: str = "1") -> list[str]:
        """The payloads of the rows, as text."""
        return [row[0] for row in self.rows("CAST(payload AS TEXT)", condition)]

    def handled(self) -> list[str]:
        """What the handler ``ledger`` has noted: a payload for each call that ended well."""
        return self.listener.run("cat", "/data/handled").stdout.splitlines()

    def metric(self, name: str, container: Container | None = None, *, port: int = 9464) -> float:
        """One metric's value, summed over its labels, as a service tells it."""
        text = (container or self.listener).run("python", "-c", _FETCH, f"http://127.0.0.1:{port}/metrics").stdout
        found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE)
        assert found, f"metric {name} is missing in:\n{text}"
        return sum(map(float, found))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        # pytest shows it where the test has failed, and nowhere else
        print(self.compose("ps", "--all", check=False).stdout, self.logs(), sep="\n")  # noqa: T201
        self.down()


_FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"


def seconds(since: float) -> float:
    """Seconds since a moment of ``time.monotonic``."""
    return time.monotonic() - since
