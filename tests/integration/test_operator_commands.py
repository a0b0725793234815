"""The operator's commands as real programs: at a terminal, in a pipe, while other programs write."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.shell_completion import get_completion_class

from fmq.cli.main import fmq_command
from fmq.message import Incoming
from fmq.store.backends import open_store
from support.counting import counted, counters
from support.processes import FMQ, Processes
from support.wait import wait_for

_QUEUES = ("sensors/#", "alarms")
_COUNT = 500


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/mqtt_queue.db"
    with open_store(url) as queue:
        for name in _QUEUES:
            queue.declare(name)
            queue.put([Incoming(name, "t", b"x" * 1_000, time.time()) for _ in range(_COUNT)])
    return url


@contextmanager
def writing(url: str) -> Iterator[None]:
    """While another connection commits ten messages at a time."""
    stop = threading.Event()

    def write() -> None:
        with open_store(url) as queue:
            while not stop.is_set():
                queue.put([Incoming("alarms", "t", b"x" * 1_000, time.time()) for _ in range(10)])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_backup_while_messages_come(url: str, fmq: Processes, tmp_path: Path) -> None:
    """The copy has whole commits only, and its counters equal its rows."""
    with writing(url):
        process = fmq.start("backup", "copy.db", FMQ_QUEUE_URL=url)
        assert process.wait() == 0, process.text
    assert "checked" in process.text
    found = counted(tmp_path / "copy.db")
    assert counters(tmp_path / "copy.db") == found
    assert found["sensors/#"] == (_COUNT, 0, 0, 0)
    assert found["alarms"][0] % 10 == 0


def test_a_paused_queue(fmq: Processes, url: str) -> None:
    """Every running processor leaves its messages where they are, handles those of others, and goes on at once after a resume."""
    assert fmq.start("pause", "sensors/#", "--reason", "test", FMQ_QUEUE_URL=url).wait() == 0
    processors = [fmq.start("process", FMQ_QUEUE_URL=url, FMQ_BATCH=200, FMQ_SLEEP=600) for _ in range(2)]
    with open_store(url) as queue:
        wait_for(lambda: queue.stats("alarms").done == _COUNT, what="the other queue")
        stats = queue.stats("sensors/#")
        assert (stats.pending, stats.claimed, stats.done) == (_COUNT, 0, 0)
        assert fmq.start("resume", "sensors/#", FMQ_QUEUE_URL=url).wait() == 0
        wait_for(lambda: queue.stats("sensors/#").done == _COUNT, what="the queue that was paused")
    assert [one.terminate() for one in processors] == [0, 0]


class _Terminal:
    """A program at a terminal of 24 lines; what it writes comes together in ``text``."""

    def __init__(self, *words: str, **environ: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            words, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm", **environ}
        )
        os.close(slave)
        self.text = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._master, 65_536):
                self.text += data.decode()
        except OSError:
            pass  # the program has ended

    def end(self) -> int:
        """Wait for its end; returns its exit code."""
        code = self.process.wait(30)
        self._thread.join(10)
        os.close(self._master)
        return code


def test_watching(url: str) -> None:
    """At a terminal the table is drawn again in its place, with rates; Ctrl-C ends it well."""
    terminal = _Terminal(str(FMQ), "status", "--watch", "--interval", "0.2", FMQ_QUEUE_URL=url)
    with writing(url):
        wait_for(
            lambda: re.search(r"alarms.*\d\.\d  +\d\.\d", terminal.text), what="rates of the queue that is written"
        )
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 0
    assert terminal.text.count("\x1b[2J") == 1, "the screen is cleared once, not at each look"
    assert terminal.text.count("\x1b[H") > 1
    assert "Traceback" not in terminal.text


def test_watching_into_a_pipe(url: str, fmq: Processes) -> None:
    """Without a terminal: plain lines, or one JSON object a look, and no control characters."""
    process = fmq.start("status", "--watch", "--json", "--interval", "0.1", "--count", "3", FMQ_QUEUE_URL=url)
    assert process.wait() == 0
    looks = [json.loads(line) for line in process.text.splitlines()]
    assert [[one["rates"] is not None for one in look["queues"]] for look in looks] == [
        [False] * 2,
        [True] * 2,
        [True] * 2,
    ]
    plain = fmq.start("status", "--watch", "--interval", "0.1", "--count", "2", FMQ_QUEUE_URL=url)
    assert plain.wait() == 0
    assert "\x1b" not in plain.text
    assert plain.text.count("IN/S") == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_answers(url: str, shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands, options and the names of the queues in the store, in the way that each shell asks."""
    complete = get_completion_class(shell)
    assert complete is not None
    asked = complete(fmq_command, {}, "fmq", "_FMQ_COMPLETE")
    monkeypatch.setenv("FMQ_QUEUE_URL", url)
    for words, last, expected in (
        (["fmq"], "", {"backup", "check", "config", "dead", "doctor", "listen", "process", "status"}),
        (["fmq", "status"], "--", {"--watch", "--json", "--queue-url"}),
        (["fmq", "check", "--queue"], "", set(_QUEUES)),
        (["fmq", "dead", "list"], "s", {"sensors/#"}),
    ):
        monkeypatch.setenv("COMP_WORDS", " ".join(words if shell == "fish" else [*words, last]))
        monkeypatch.setenv("COMP_CWORD", last if shell == "fish" else str(len(words)))
        assert expected <= set(re.findall(r"[^\s,]+", asked.complete())), words


def test_completion_in_bash(url: str) -> None:
    """A bash that has read the script fills in what it is asked for."""
    program = f"""
        PATH={Path(sys.executable).parent}:$PATH
        eval "$(_FMQ_COMPLETE=bash_source fmq)"
        COMP_WORDS=(fmq dead list al) COMP_CWORD=3
        $(complete -p fmq | sed 's/.*-F \\([^ ]*\\).*/\\1/') fmq
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environ = {**os.environ, "FMQ_QUEUE_URL": url}
    told = subprocess.run(["bash", "-c", program], env=environ, capture_output=True, text=True, check=True, timeout=30)
    assert told.stdout.split() == ["alarms"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_says_how_far_a_command_got(url: str, fmq: Processes, number: signal.Signals, code: int) -> None:
    """The number that it prints is the number of messages that have gone."""
    process = fmq.start("queue", "purge", "sensors/#", "--rate", "50", "--yes", FMQ_QUEUE_URL=url)
    with open_store(url) as store:
        wait_for(lambda: store.stats("sensors/#").pending < _COUNT, what="the first messages to go")
        process.signal(number)
        assert process.wait() == code
        gone = _COUNT - store.stats("sensors/#").pending
    assert f"Stopped by {number.name}. Purged {gone:,} message" in process.text
    assert 0 < gone < _COUNT
    assert "Traceback" not in process.text
