"""Runs the examples in docs/operations.md and records their output. With --check, reports whether the output has changed.

A ```console block has commands after ``$`` and their output. ``<!-- scene: NAME -->`` before a block selects where its commands
run. A scene is an environment and a folder with a store. It also applies to the following blocks that name none.
"""

import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, chdir
from pathlib import Path

from click.testing import CliRunner

from fmq.cli.main import exit_code, fmq_command
from fmq.errors import FmqError
from fmq.message import Incoming, Properties
from fmq.outcome import Dead, Done
from fmq.store.backends import open_store
from fmq.store.roles import Store

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support.broker import Broker  # noqa: E402 - needs the path

PAGE = HERE / "operations.md"
_BLOCK = re.compile(r"(?:<!-- scene: (?P<scene>\w+) -->\n)?```console\n(?P<body>.*?)```\n", re.DOTALL)
_URL = "sqlite:///mqtt_queue.db"
_DEFAULT_LIMITS = ("max_inflight_messages 20",)
# Lines that depend on the machine: its file system and free space.
_OF_THE_MACHINE = re.compile(r"^\w+ +(folder|disk): .*\n( +-> .*\n)?", re.MULTILINE)


def _fill(queue: Store) -> None:
    """Two queues: handled, dead and pending messages in one, two pending in the other."""
    now = time.time()
    for name in ("alarms", "sensors/#"):
        queue.declare(name)
    topics = ("sensors/1/temp", "sensors/1/humidity", "sensors/2/temp", "sensors/2/humidity")
    readings = [(topic, f'{{"value": {20 + n}}}'.encode()) for n in range(3) for topic in topics]
    queue.put([Incoming("sensors/#", topic, payload, now - 90) for topic, payload in readings])
    claims = list(queue.claim("sensors/#", 8, lease=600))
    reasons = {2: "TimeoutError: the target did not answer", 3: "ValueError: no value", 4: "Rejected: unknown sensor"}
    queue.settle(
        [(claim, Dead(reasons[n]) if n in reasons else Done()) for n, claim in enumerate(claims)],
    )
    properties = Properties(content_type="application/json", user_properties=(("site", "north"),))
    queue.put([Incoming("alarms", "alarms", b'{"level": 3}', now - 5, properties=properties)])
    queue.put([Incoming("alarms", "alarms", b"\xff\xfe\x00", now - 5)])


def _shop(_folder: Path) -> None:
    with open_store(_URL) as queue:
        _fill(queue)


def _healthy(_folder: Path) -> None:
    with open_store(_URL) as queue:
        queue.declare("sensors/#")


def _damaged(folder: Path) -> None:
    with open_store(_URL) as queue:
        _fill(queue)
    path = folder / "mqtt_queue.db"
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(2 * 8192)
        file.write(b"\xff" * 8192)


def _abandoned(_folder: Path) -> None:
    with open_store(_URL) as queue:
        for name in ("alarms", "sensors/#"):
            queue.declare(name)
            queue.put([Incoming(name, "sensors/1/temp", b"x", time.time() - 7_200) for _ in range(300)])
        queue.pause("alarms", "new version of the handler, back at noon")


_SCENES: Mapping[str, tuple[Callable[[Path], None], Mapping[str, str]]] = {
    "shop": (_shop, {}),
    "healthy": (_healthy, {"FMQ_BROKER_URL": "GOOD", "FMQ_TOPICS": "sensors/#"}),
    "damaged": (_damaged, {}),
    "misled": (
        lambda _folder: None,
        {
            "FMQ_BROKER_URL": "mqtt://anna:hunter2@127.0.0.1:1",
            "FMQ_TOPICS": "sensors/#",
            "FMQ_BATHC": "100",
            "FMQ_CONCURRENCY": "many",
            "FMQ_HANDLER": "mine:handle",
        },
    ),
    "abandoned": (_abandoned, {"FMQ_BROKER_URL": "SMALL", "FMQ_TOPICS": "sensors/#,$share/fmq/alarms"}),
}


class _Stage:
    """Runs commands in scenes. Makes each scene once."""

    def __init__(self, folder: Path, brokers: Mapping[str, Broker]) -> None:
        self._folder = folder
        self._brokers = brokers
        self._made: set[str] = set()

    def run(self, scene: str, command: str) -> str:
        """The output of a command, as on a machine with the store in /data and the broker on its usual port."""
        make, environ = _SCENES[scene]
        folder = self._folder / scene
        folder.mkdir(exist_ok=True)
        with chdir(folder):
            if scene not in self._made:
                self._made.add(scene)
                make(folder)
            chosen = {
                name: self._brokers[value].url if value in self._brokers else value for name, value in environ.items()
            }
            words = shlex.split(command)[1:]
            result = CliRunner(env={**chosen, "FMQ_QUEUE_URL": _URL}).invoke(fmq_command, words, standalone_mode=False)
        text = result.output
        code = result.return_value if isinstance(result.return_value, int) else 0
        if isinstance(result.exception, FmqError):
            text, code = f"{text}fmq: {result.exception}\n", exit_code(result.exception)
        elif result.exception is not None:
            raise result.exception
        for broker in self._brokers.values():
            text = text.replace(f":{broker.port}", ":1883")
        text = text.replace(str(folder), "/data")
        return text if not code else f"{text}[exit {code}]\n"


def _blocks(page: str, stage: _Stage) -> Iterator[str]:
    scene, end = "", 0
    for found in _BLOCK.finditer(page):
        scene = found["scene"] or scene
        yield page[end : found.start("body")]
        for line in found["body"].splitlines():
            if line.startswith("$ "):
                yield f"{line}\n{stage.run(scene, line[2:])}"
        end = found.end("body")
    yield page[end:]


def made(page: str) -> str:
    """The page with the current output of its commands."""
    for name in [name for name in os.environ if name.startswith("FMQ_")]:
        del os.environ[name]
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        brokers = {
            "GOOD": Broker(folder / "good"),
            "SMALL": Broker(folder / "small"),
        }
        config = folder / "small" / "mosquitto.conf"
        config.write_text(config.read_text().replace("max_inflight_messages 10000", _DEFAULT_LIMITS[0]))
        for broker in brokers.values():
            opened.enter_context(broker)
        return "".join(_blocks(page, _Stage(folder, brokers)))


def _alike(page: str) -> str:
    """The page without parts that differ in each run: figures, times, column widths, and facts about the machine."""
    text = re.sub(r'"store":"[^"]*"', "", _OF_THE_MACHINE.sub("", page))
    text = re.sub(r"\d[\d,.:TZ-]*", "0", text)
    return re.sub(r" +", " ", text)


def main() -> int:
    """Write the page, or with --check return 1 if it is out of date."""
    old = PAGE.read_text(encoding="utf-8")
    new = made(old)
    if "--check" not in sys.argv:
        PAGE.write_text(new, encoding="utf-8")
    elif _alike(old) != _alike(new):
        import difflib  # noqa: PLC0415 - only to show a difference

        sys.stderr.writelines(
            difflib.unified_diff(_alike(old).splitlines(keepends=True), _alike(new).splitlines(keepends=True))
        )
        print("docs/operations.md is out of date. Run docs/make_operations.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
