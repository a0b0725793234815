"""The handler ``exec``: what a command gets, what follows from its end, and that none of it is left behind."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fmq.errors import SettingsError
from fmq.message import Message, Properties
from fmq.message_json import message_json
from fmq.outcome import Reject, Retry, Unavailable
from fmq.service.environment import load
from fmq_processor.handlers.exec.handler import ExecHandler
from fmq_processor.handlers.exec.settings import ExecSettings
from support.wait import wait_for

MESSAGE = Message(7, "s/#", "s/1", b"21.5", 1.25, properties=Properties(content_type="text/plain"))


class Bench:
    """A handler for a shell script or another command, and its metrics."""

    def __init__(self, script: str = "", *, command: str = "", **settings: Any) -> None:  # noqa: ANN401
        self.registry = CollectorRegistry()
        words = command or f"/bin/sh -c '{script}'"
        self.handler = ExecHandler(ExecSettings(exec_command=words, **settings), self.registry)

    def handle(self, message: Message = MESSAGE) -> None:
        asyncio.run(self.handler.handle(message))

    def ended(self, ending: str) -> float | None:
        return self.registry.get_sample_value("fmq_exec_commands_total", {"ending": ending})


def printed_environment(tmp_path: Path, message: Message, **settings: Any) -> dict[bytes, bytes]:  # noqa: ANN401
    """What env(1) shows, without what the shell itself adds."""
    Bench(command=f"/bin/sh -c 'env -0 > {tmp_path}/env'", **settings).handle(message)
    lines = (tmp_path / "env").read_bytes().split(b"\0")[:-1]
    found = dict(line.split(b"=", 1) for line in lines)
    return {name: value for name, value in found.items() if name not in (b"PWD", b"OLDPWD", b"SHLVL", b"_")}


def test_a_command_gets_the_payload_or_the_message_as_json(tmp_path: Path) -> None:
    """On standard input, whole, also where it is large or binary."""
    large = Message(1, "q", "t", bytes(range(256)) * 8_000, 0.0)
    Bench(f"cat > {tmp_path}/raw").handle(large)
    assert (tmp_path / "raw").read_bytes() == large.payload
    Bench(f"cat > {tmp_path}/json", exec_input="json").handle(large)
    assert (tmp_path / "json").read_text() == message_json(large)


def test_the_environment_has_the_message_and_what_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else: no password of the service's."""
    monkeypatch.setenv("FMQ_BROKER_PASSWORD", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("PGHOST", "db")
    found = printed_environment(tmp_path, MESSAGE, exec_environment=("PGHOST", "NOT_THERE"))
    assert found == {
        b"PGHOST": b"db",
        b"FMQ_MESSAGE_ID": b"7",
        b"FMQ_MESSAGE_QUEUE": b"s/#",
        b"FMQ_MESSAGE_TOPIC": b"s/1",
        b"FMQ_MESSAGE_RECEIVED_AT": b"1.25",
        b"FMQ_MESSAGE_RETRY_COUNT": b"0",
        b"FMQ_MESSAGE_QOS": b"1",
        b"FMQ_MESSAGE_RETAIN": b"0",
        b"FMQ_MESSAGE_CONTENT_TYPE": b"text/plain",
        b"FMQ_MESSAGE_PROPERTIES": b'{"content_type": "text/plain"}',
    }


def test_no_topic_or_property_breaks_the_environment(tmp_path: Path) -> None:
    """NUL, lone surrogates, line ends, = and what is longer than Linux allows."""
    users = (("a\0=\n", "\udc80"), ("long", "x" * 200_000))
    message = Message(1, "q", "t\0\ud800=\n$(reboot)ä", b"", 0.0, properties=Properties(user_properties=users))
    found = printed_environment(tmp_path, message)
    assert found[b"FMQ_MESSAGE_TOPIC"] == "t\ufffd\ufffd=\n$(reboot)ä".encode()
    assert b"FMQ_MESSAGE_PROPERTIES" not in found
    short = Message(1, "q", "t" * 65_535, b"", 0.0, properties=Properties(user_properties=users[:1]))
    found = printed_environment(tmp_path, short)
    assert json.loads(found[b"FMQ_MESSAGE_PROPERTIES"]) == {"user_properties": [list(users[0])]}
    assert len(found[b"FMQ_MESSAGE_TOPIC"]) == 65_535


@pytest.mark.parametrize(
    ("script", "on_failure", "kind", "reason", "ending"),
    [
        ("exit 75", "dead", Retry, "exit code 75", "retry"),
        ("echo no database >&2; exit 69", "dead", Unavailable, "exit code 69: no database", "unavailable"),
        ("echo one >&2; echo two >&2; exit 3", "retry", Retry, "exit code 3: two\none", "failed"),
        ("printf bad >&2; exit 1", "dead", Reject, "exit code 1: bad", "failed"),
        ("kill -9 $$", "dead", Retry, "killed by SIGKILL", "signal"),
    ],
)
def test_what_follows_from_an_exit_code(
    script: str, on_failure: str, kind: type[Retry | Reject], reason: str, ending: str
) -> None:
    """75 and 69 as sysexits.h has them, whatever the setting for others; the last line of standard error comes first."""
    bench = Bench(script, exec_on_failure=on_failure)
    with pytest.raises(kind) as raised:
        bench.handle()
    assert type(raised.value) is kind
    assert raised.value.reason == reason
    assert bench.ended(ending) == 1


def test_exit_code_0_is_done() -> None:
    """Whatever it wrote, and whether or not it read its input."""
    bench = Bench("echo out; echo err >&2")
    bench.handle(Message(1, "q", "t", b"x" * 1_000_000, 0.0))
    assert bench.ended("done") == 1
    assert bench.registry.get_sample_value("fmq_exec_running") == 0


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    """Quotes are as in a shell, but nothing is expanded."""
    Bench(command=f"touch '{tmp_path}/a b' {tmp_path}/$(id);x").handle()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["$(id);x", "a b"]


def test_output_is_bounded() -> None:
    """Of 20 MB of standard error only the end is kept; standard output is not read at all."""
    bench = Bench("yes | head -c 20000000 >&2; yes | head -c 1000000; echo the end >&2; exit 1")
    with pytest.raises(Retry) as raised:
        bench.handle()
    assert raised.value.reason.startswith("exit code 1: the end\n")
    assert len(raised.value.reason) < 2_100


def test_a_child_that_is_left_behind_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Although it holds standard input and standard error."""
    Bench(f"setsid sleep 600 & echo $! > {tmp_path}/child").handle()
    child = int((tmp_path / "child").read_text())
    assert alive(child)
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("trap", ["", "trap : TERM; "])
def test_a_command_that_is_cancelled_dies_with_its_children(tmp_path: Path, trap: str) -> None:
    """As at the timeout and at shutdown; the group is killed if it does not end when it is asked to."""
    bench = Bench(f'{trap}(trap "" TERM; sleep 600) & echo $! $$ > {tmp_path}/pids; while :; do sleep 600; done')
    asyncio.run(start_and_cancel(bench, tmp_path / "pids"))
    for number in numbers(tmp_path / "pids"):
        wait_for(lambda number=number: not alive(number), what=f"the end of {number}")  # type: ignore[misc]
    assert bench.ended("stopped") == 1


def test_a_command_is_killed_even_if_its_cancellation_is_cut_short(tmp_path: Path) -> None:
    """The end of the event loop cancels a second time."""
    bench = Bench(f'trap "" TERM; echo $$ > {tmp_path}/pids; while :; do sleep 600; done')
    asyncio.run(start_and_cancel(bench, tmp_path / "pids", times=2))
    (number,) = numbers(tmp_path / "pids")
    wait_for(lambda: not alive(number), what="its end")


async def start_and_cancel(bench: Bench, started: Path, *, times: int = 1) -> None:
    """Cancel a call once its command has written to ``started``."""
    task = asyncio.create_task(bench.handler.handle(MESSAGE))
    await asyncio.to_thread(wait_for, lambda: numbers(started))
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


def numbers(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_command_that_is_gone_is_a_target_that_is_down(tmp_path: Path) -> None:
    """It was there at the start, and comes back."""
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    bench = Bench(command=str(program))
    program.rename(tmp_path / "away")
    with pytest.raises(Unavailable, match=r"can't be started: .*No such file"):
        bench.handle()
    assert bench.ended("not_started") == 1
    (tmp_path / "away").rename(program)
    bench.handle()


def test_no_file_descriptor_is_left_open(tmp_path: Path) -> None:
    """After done, failed, stopped and never started."""
    missing = Bench(command="/bin/true")
    missing.handler._words = (str(tmp_path / "missing"),)

    async def work() -> int:
        counts = []
        for number in range(3):
            for bench in (Bench("exit 0"), Bench("exit 1"), missing):
                await asyncio.gather(bench.handler.handle(MESSAGE), return_exceptions=True)
            started = tmp_path / str(number)
            await start_and_cancel(Bench(f"echo $$ > {started}; exec sleep 600"), started)
            counts.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - a count of the moment
        return counts[-1] - counts[0]

    assert asyncio.run(work()) == 0


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("FMQ_EXEC_COMMAND", "", "it is empty"),
        ("FMQ_EXEC_COMMAND", "'unclosed", "No closing quotation"),
        ("FMQ_EXEC_COMMAND", "no-such-program --x", "'no-such-program' is not an executable program"),
        ("FMQ_EXEC_COMMAND", "/etc/passwd", "'/etc/passwd' is not an executable program"),
        ("FMQ_EXEC_INPUT", "xml", "expected payload or json"),
        ("FMQ_EXEC_ENVIRONMENT", "PATH,FMQ_BROKER_PASSWORD", "FMQ_BROKER_PASSWORD is a setting of fmq"),
        ("FMQ_EXEC_ENVIRONMENT", "A=B", "'A=B' is not the name of a variable"),
    ],
)
def test_wrong_settings_are_told_at_the_start(name: str, value: str, wrong: str) -> None:
    """With the value, and what would be right."""
    with pytest.raises(SettingsError) as told:
        load(ExecSettings, {}, {"FMQ_EXEC_COMMAND": sys.executable, name: value})
    assert wrong in str(told.value)
    assert name in str(told.value)
