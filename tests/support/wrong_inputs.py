"""Wrong inputs of commands, run for real, and the page that shows their answers: docs/wrong-inputs.md."""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from fmq.message import Incoming
from fmq.outcome import Dead
from fmq.store.backends import open_store
from support.broker import Broker, set_password

_FMQ = Path(sys.executable).with_name("fmq")
_BLOCKED = """
import sys
from importlib.machinery import PathFinder
from importlib import metadata
find, version = PathFinder.find_spec, metadata.version
PathFinder.find_spec = lambda name, *rest: None if name.partition(".")[0] in {names} else find(name, *rest)
def installed(name):
    if name.partition("-")[0] in {names}:
        raise metadata.PackageNotFoundError(name)
    return version(name)
metadata.version = installed
"""


@dataclass(frozen=True, slots=True)
class WrongInput:
    """What somebody types, the exit code, and what the answer has to say: what is wrong, what is expected, what to do next.

    ``{broker}`` and ``{port}`` in the words are a Mosquitto with users, and a port that is taken. ``blocked`` packages are not
    installed.
    """

    title: str
    command: str
    code: int
    says: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    blocked: Sequence[str] = ()
    hides: str = "hunter2"


_QUIET = {"FMQ_LOG_LEVEL": "ERROR", "FMQ_HTTP_PORT": "0"}
_LOGIN = {"FMQ_BROKER_USERNAME": "anna", "FMQ_BROKER_PASSWORD": "hunter2", **_QUIET}

WRONG_INPUTS = (
    WrongInput("a misspelt command", "fmq stauts", 2, ("'stauts'", "'status'", "fmq --help")),
    WrongInput("a misspelt option", "fmq status --jsn", 2, ("'--jsn'", "'--json'", "fmq status --help")),
    WrongInput("a misspelt queue", "fmq peek 'sensor/#'", 4, ("'sensor/#'", "'sensors/#'", "fmq status")),
    WrongInput("a topic where a queue is expected", "fmq peek sensors/1/temp", 4, ("'sensors/1/temp'", "'sensors/#'")),
    WrongInput(
        "a misspelt handler",
        "fmq process --handler webhok",
        2,
        ("'webhok'", "package.module:function or a built-in", "Did you mean 'webhook'?"),
    ),
    WrongInput(
        "a handler's module that is not there",
        "fmq process --handler mine:handle",
        2,
        ("'mine:handle'", "No module named 'mine'", "Expected mine.py in"),
    ),
    WrongInput(
        "a misspelt function",
        "fmq process --handler reading:handle",
        2,
        ("'reading:handle'", "has no 'handle'", "Did you mean 'handel'?"),
    ),
    WrongInput(
        "an invalid topic filter", "fmq listen 'a/#/b'", 2, ("TOPIC='a/#/b'", "# before its last level", "such as")
    ),
    WrongInput("no topic filter", "fmq listen", 2, ("FMQ_TOPICS", "no topic filter is given", "such as dstdb")),
    WrongInput(
        "a broker's URL without a scheme",
        "fmq listen q --broker-url broker.local:1883",
        2,
        ("--broker-url='broker.local:1883'", "no scheme", "mqtt://broker.local:1883", "expected"),
    ),
    WrongInput(
        "a port that is taken",
        "fmq process --http-port {port}",
        1,
        ("FMQ_HTTP_PORT={port}", "in use", "FMQ_HTTP_PORT=0 picks a free port"),
    ),
    WrongInput(
        "a broker that is down",
        "fmq listen q --connect-attempts 1 --broker-url mqtt://127.0.0.1:1",
        1,
        ("No connection to mqtt://127.0.0.1:1", "Connection refused", "Check the broker", "fmq doctor"),
        _QUIET,
    ),
    WrongInput(
        "a wrong password",
        "fmq listen q --connect-attempts 1 --broker-url {broker}",
        1,
        ("{broker}", "Not authorized", "FMQ_BROKER_USERNAME, FMQ_BROKER_PASSWORD", "fmq doctor"),
        _LOGIN,
    ),
    WrongInput(
        "a store that is missing",
        "fmq status --queue-url sqlite:///queue.db",
        3,
        ("queue.db", "Did you mean mqtt_queue.db", "FMQ_QUEUE_URL"),
    ),
    WrongInput(
        "a store that is not a database",
        "fmq status --queue-url sqlite:///text.db",
        3,
        ("text.db", "not an SQLite database", "not changed", "FMQ_QUEUE_URL", "fmq set-aside"),
    ),
    WrongInput(
        "a store of a newer fmq",
        "fmq status --queue-url sqlite:///newer.db",
        3,
        ("newer.db", "newer fmq (schema 99", "not changed", "Use that version"),
    ),
    WrongInput(
        "a path where a URL is expected",
        "fmq status --queue-url mqtt_queue.db",
        2,
        ("--queue-url='mqtt_queue.db'", "expected sqlite:///mqtt_queue.db"),
    ),
    WrongInput(
        "a file of a secret that can't be read",
        "fmq listen q",
        2,
        ("FMQ_BROKER_PASSWORD_FILE='nowhere'", "No such file", "expected the path of a text file"),
        {"FMQ_BROKER_USERNAME": "anna", "FMQ_BROKER_PASSWORD_FILE": "nowhere"},
    ),
    WrongInput("a negative number", "fmq process --batch -5", 2, ("--batch='-5'", "expected a whole number from 1")),
    WrongInput(
        "several invalid settings at once",
        "fmq process",
        2,
        ("FMQ_BATCH='ten'", "FMQ_LOG_LEVEL='loud'", "expected DEBUG, INFO"),
        {"FMQ_BATCH": "ten", "FMQ_LOG_LEVEL": "loud"},
    ),
    WrongInput(
        "a secret as a flag",
        "fmq listen q --broker-password hunter2",
        2,
        ("--broker-password is not a flag", "other users", "FMQ_BROKER_PASSWORD_FILE"),
    ),
    WrongInput(
        "an unknown message id",
        "fmq dead show 'sensors/#' 999",
        4,
        ("no dead letter 999", "fmq dead list 'sensors/#'"),
    ),
    WrongInput("an empty queue", "fmq dead list alarms", 0, ("0 of 0 dead letters of alarms",)),
    WrongInput(
        "a bad time",
        "fmq dead list 'sensors/#' --since yesterday",
        2,
        ("'--since'", "'yesterday'", "expected one like 2h", "fmq dead list --help"),
    ),
    WrongInput(
        "a bad JMESPath expression",
        """fmq process --decode json --filter "body.kind = 'x'" """.strip(),
        2,
        ("--filter", "Unknown token '=' at character 11", "equal is ==", "such as body.kind == 'alarm'"),
    ),
    WrongInput(
        "a missing extra",
        "fmq status --queue-url postgresql://fmq@127.0.0.1/fmq",
        2,
        ("psycopg", "not installed", "pip install"),
        blocked=("psycopg",),
    ),
    WrongInput(
        "a missing extra of tracing",
        "fmq process --tracing otel",
        2,
        ("--tracing='otel'", "not installed", "pip install"),
        blocked=("opentelemetry",),
    ),
    WrongInput(
        "a missing extra of a handler",
        "fmq process --handler webhook --webhook-url http://127.0.0.1:1",
        2,
        ("'webhook'", "not installed", "pip install"),
        blocked=("httptools",),
    ),
    WrongInput(
        "a handler without its required setting",
        "fmq process --handler webhook",
        2,
        ("FMQ_WEBHOOK_URL is not set", "expected https://host/path"),
    ),
    WrongInput(
        "a question that nobody can answer",
        "fmq dead purge 'sensors/#' --all",
        2,
        ("Delete 1 dead letter of sensors/#", "no terminal", "--yes"),
    ),
    WrongInput(
        "a file that exists already",
        "fmq export 'sensors/#' --output text.db",
        1,
        ("text.db already exists", "never replaces"),
    ),
)


class Stage:
    """Runs wrong inputs, each in a folder of its own with a store, a text file and a module."""

    def __init__(self, folder: Path, broker: Broker, taken: int) -> None:
        self._folder = folder
        self._broker = broker
        self._taken = taken
        self._number = 0

    def run(self, case: WrongInput) -> tuple[int, str]:
        """The exit code and the output."""
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        _furnish(folder)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("FMQ_")}
        environ |= case.environ
        if case.blocked:
            blocker = folder / "blocked"
            blocker.mkdir()
            (blocker / "sitecustomize.py").write_text(_BLOCKED.format(names=set(case.blocked)))
            environ["PYTHONPATH"] = str(blocker)
        words = shlex.split(self._filled(case.command))
        ended = subprocess.run(
            [_FMQ, *words[1:]],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return ended.returncode, ended.stdout.replace(str(folder), "/data")

    def missing(self, case: WrongInput, text: str) -> list[str]:
        """What the answer does not say, although it has to."""
        return [one for one in map(self._filled, case.says) if one not in text]

    def row(self, case: WrongInput, code: int, text: str) -> str:
        """The row of the page, the same in each run."""
        same = text.replace(f":{self._broker.port}", ":1883").replace(str(self._taken), "9464").strip()
        command = case.command.replace("{broker}", "mqtt://127.0.0.1:1883").replace("{port}", "9464")
        shown = " ".join(
            [*(f"{name}={value}" for name, value in case.environ.items() if _QUIET.get(name) != value), command]
        )
        return f"| {case.title} | {_code(shown.replace(case.hides, '•••'))} | {'<br>'.join(map(_code, same.splitlines()))} | {code} |"

    def _filled(self, text: str) -> str:
        return text.replace("{broker}", self._broker.url).replace("{port}", str(self._taken))


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """A stage with a Mosquitto that knows one user, and a port that is taken."""
    with ExitStack() as opened:
        users = folder / "users"
        set_password(users, "anna", "right")
        broker = opened.enter_context(Broker(folder / "broker", [f"password_file {users}"], anonymous=False))
        taken = opened.enter_context(closing(socket.socket()))
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield Stage(folder, broker, taken.getsockname()[1])


def _furnish(folder: Path) -> None:
    with open_store(f"sqlite:///{folder}/mqtt_queue.db") as store:
        for name in ("alarms", "sensors/#"):
            store.declare(name)
        store.put([Incoming("sensors/#", "sensors/1/temp", b"20", time.time()) for _ in range(2)])
        store.settle([(claim, Dead("ValueError: no value")) for claim in store.claim("sensors/#", 1, lease=60)])
    (folder / "text.db").write_text("notes\n" * 100)
    (folder / "reading.py").write_text("def handel(message): ...\n")
    with (
        closing(apsw.Connection(str(folder / "newer.db"))) as newer,
        closing(apsw.Connection(str(folder / "mqtt_queue.db"))) as store_file,
    ):
        with newer.backup("main", store_file, "main") as copy:
            copy.step()
        newer.execute("PRAGMA user_version = 99")


def _code(text: str) -> str:
    escaped = re.sub(r"([|\\])", r"\\\1", text.strip())
    return f"`` {escaped} ``" if "`" in escaped else f"`{escaped}`" if escaped else ""
