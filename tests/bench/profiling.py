"""Where the time goes in a listener and in a processor under full load: ``python tests/bench/profiling.py``.

py-spy starts the real process and samples it from outside, so nothing in it runs differently, and no privileges are
needed (on Linux). Time within SQLite or the system is that of the Python function which called it.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bench import programs
from bench.load import publish
from bench.measure import TESTS, TOPIC, await_done, await_stored, reading
from bench.store import fill
from fmq.store.backends import open_store
from support.processes import FMQ, Processes

_COUNT = 200_000
_SAMPLES_A_SECOND = 500
_SHOWN = 16
_WAITING = ("select (selectors", "wait (threading", "Bell.wait (", "ThreadRunner._work (", "Session._wait (")
"""Where threads wait. py-spy does not always see that they do."""


class _Sampled:
    """A process under py-spy, in a folder of its own."""

    def __init__(self, folder: Path, arguments: tuple[str, ...], **settings: object) -> None:
        self._raw = folder / "samples.txt"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("FMQ_")}
        environ |= {"FMQ_HTTP_PORT": "0", **{name: str(value) for name, value in settings.items()}}
        options = ("record", "--format", "raw", "--function", "--rate", str(_SAMPLES_A_SECOND), "--output", self._raw)
        with (folder / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name("py-spy"), *options, "--", sys.executable, FMQ, *arguments],
                cwd=folder,
                env=environ,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def end(self) -> Counter[tuple[str, ...]]:
        """Terminate it; returns how often each stack was seen, outermost frame first."""
        for pid in Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text("ascii").split():
            os.kill(int(pid), signal.SIGTERM)
        self._process.wait(60)
        found: Counter[tuple[str, ...]] = Counter()
        for line in self._raw.read_text(encoding="utf-8").splitlines():
            stack, _, count = line.rpartition(" ")
            found[tuple(stack.split(";"))] += int(count)
        return found


def listener(folder: Path) -> Counter[tuple[str, ...]]:
    """Stacks of a listener that takes a backlog."""
    with programs.broker(folder) as broker, open_store(f"sqlite:///{folder / 'mqtt_queue.db'}") as queue:
        with Processes(folder) as processes:
            programs.listen(processes, broker).terminate()
        publish(broker.port, map(reading, range(_COUNT)))
        sampled = _Sampled(folder, ("listen", TOPIC), FMQ_BROKER_URL=broker.url, FMQ_CLIENT_ID="fmq-5-0")
        await_stored(queue, _COUNT)
        return sampled.end()


def processor(folder: Path) -> Counter[tuple[str, ...]]:
    """Stacks of a processor whose handler does nothing."""
    with open_store(f"sqlite:///{folder / 'mqtt_queue.db'}") as queue:
        fill(queue, _COUNT)
        sampled = _Sampled(
            folder,
            ("process", TOPIC, "100"),
            FMQ_HANDLER="bench.handlers:nothing",
            PYTHONPATH=TESTS,
        )
        await_done(queue, _COUNT)
        return sampled.end()


def shares(stacks: Mapping[tuple[str, ...], int]) -> list[tuple[str, float, float]]:
    """By function: its own part of all samples, and with what it calls. Start-up is left out, and waiting."""
    own: Counter[str] = Counter()
    with_callees: Counter[str] = Counter()
    for stack, count in stacks.items():
        if (
            not stack[-1]
            or any("importlib" in frame for frame in stack)
            or any(waiting in stack[-1] for waiting in _WAITING)
        ):
            continue
        own[stack[-1]] += count
        with_callees.update(dict.fromkeys(stack, count))
    total = own.total() or 1
    return [(name, count / total, with_callees[name] / total) for name, count in own.most_common(_SHOWN)]


def main() -> None:
    for measured in (listener, processor):
        with tempfile.TemporaryDirectory(prefix="fmq-bench-") as folder:
            began = time.monotonic()
            found = shares(measured(Path(folder)))
        out = [f"{measured.__name__} ({time.monotonic() - began:.0f} s)\n   itself  with callees\n"]
        out += [f"  {own:7.1%}  {both:12.1%}  {name}\n" for name, own, both in found]
        sys.stdout.write("".join([*out, "\n"]))


if __name__ == "__main__":
    main()
