"""Wrong inputs of commands, run for real, and the page that shows their answers: docs/wrong-inputs.md."""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import apsw

from fmq.message import Incoming
from fmq.outcome import Dead
from fmq.store.backends import open_store
from support.broker import Broker, set_password
from support.wrong_input_cases import WrongInput

_FMQ = Path(sys.executable).with_name("fmq")
_USUAL = {"FMQ_LOG_FORMAT": "text", "FMQ_LOG_LEVEL": "ERROR", "FMQ_HTTP_PORT": "0"}
"""Logs as on a terminal, without those of a start that is ended later; no port of the machine is taken."""
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
        for name, text in case.files.items():
            (folder / name).write_text(f"{text}\n", encoding="utf-8")
        environ = {name: value for name, value in os.environ.items() if not name.startswith("FMQ_")}
        environ |= {**_USUAL, **case.environ}
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
        shown = " ".join([*(f"{name}={value}" for name, value in case.environ.items()), command])
        lines = [shown.replace(case.hides, "•••")]
        for name, content in case.files.items():
            lines += [f"{name}:", *filter(None, content.splitlines())]
        return f"| {case.title} | {'<br>'.join(map(_code, lines))} | {'<br>'.join(map(_code, same.splitlines()))} | {code} |"

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
