"""`fmq process --drain` and `--reload`, as a user runs them."""

from pathlib import Path

from fmq.message import Incoming
from fmq.store.roles import Store
from support.handing import QUEUE
from support.processes import Processes
from support.wait import wait_for

HANDLER = """
import os
from fmq import Reject, Retry

def handle(message):
    with open("seen", "ab") as seen:
        seen.write(b"{word} " + message.payload + b"\\n")
    if message.payload == b"later":
        raise Retry(after=3600)
    if message.payload == b"bad":
        raise Reject("bad")
"""


def _put(queue: Store, *payloads: bytes) -> None:
    queue.put([Incoming(QUEUE, QUEUE, payload, 1_700_000_000.0) for payload in payloads])


def test_drain_ends_with_an_exit_code(fmq: Processes, queue: Store, tmp_path: Path) -> None:
    """0 if everything due was handled, though a retry waits for later; 5 if a message died."""
    (tmp_path / "mine.py").write_text(HANDLER)
    _put(queue, b"x", b"later")
    process = fmq.start("process", "--drain", "--handler", "mine:handle")
    assert process.wait() == 0, process.text
    assert process.said("1 messages of dstdb wait for later; the next one is due in 3")
    assert process.said("Drained: nothing is due in 1 queues")
    assert (queue.stats(QUEUE).pending, queue.stats(QUEUE).done) == (1, 1)
    _put(queue, b"x", b"bad", b"x")
    process = fmq.start("process", "--drain", "--handler", "mine:handle")
    assert process.wait() == 5, process.text
    assert queue.stats(QUEUE).done == 3


def test_reload_restarts_the_processor_when_its_code_changes(fmq: Processes, queue: Store, tmp_path: Path) -> None:
    """Also after code that can't be imported, which is shown. SIGTERM ends it."""
    seen, handler = tmp_path / "seen", tmp_path / "mine.py"

    def write(text: str) -> None:
        handler.write_text(text)

    def handled(line: str) -> bool:
        return seen.exists() and line in seen.read_text().splitlines()

    write(HANDLER.replace("{word}", "old"))
    process = fmq.start("process", "--reload", "--handler", "mine:handle")
    try:
        _put(queue, b"1")
        wait_for(lambda: handled("old 1"), 30, what="the first message")
        write("def handle(message:\n")
        wait_for(lambda: "ended with exit code 2; waiting for a change" in process.text, 30, what="the error")
        assert "SyntaxError" in process.text
        assert "fmq: mine.py changed; restarting the processor" in process.text
        assert len(process.said("Stopped")) == 1
        write(HANDLER.replace("{word}", "new"))
        _put(queue, b"2")
        wait_for(lambda: handled("new 2"), 30, what="the second message")
    finally:
        code = process.terminate()  # a kill would leave the process that it runs
    assert code == 0
    assert len(process.said("Stopped")) == 2
    assert queue.stats(QUEUE).claimed == 0
