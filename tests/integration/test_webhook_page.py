"""docs/handlers/webhook.md: the receiver, as it stands in the page."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fmq.outcome import Unavailable
from support.webhook import deliver, make_handler, message

PAGE = Path(__file__).parents[2] / "docs" / "handlers" / "webhook.md"
SECRET, OTHER = (f"whsec_{letter * 32}" for letter in "AB")


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "receiver.py").write_text(code, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "receiver.py"],
        cwd=tmp_path,
        env={**os.environ, "SECRET": SECRET, "PORT": "0"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_the_receiver_takes_what_is_signed_and_each_message_once(receiver: subprocess.Popen[str]) -> None:
    """With one of several secrets; what is signed with another one, or not at all, is refused."""
    assert receiver.stdout is not None
    url = f"http://127.0.0.1:{receiver.stdout.readline().rpartition(' ')[2].strip()}/"
    one, two = message(b"21.5", number=1), message(b"\xff", number=2, topic="ä")
    assert deliver(make_handler(url, secrets=f"{OTHER} {SECRET}"), one, one, two) == [None] * 3
    for stranger in (make_handler(url, secrets=OTHER), make_handler(url)):
        (refused,) = deliver(stranger, message(number=3))
        assert isinstance(refused, Unavailable)
        assert refused.reason == "HTTP 401 Unauthorized"
    assert deliver(make_handler(url, secrets=SECRET), message(b"last", number=4)) == [None]
    printed = [receiver.stdout.readline().rstrip() for _ in range(3)]
    assert printed == ["sensors/1/temp b'21.5'", "%C3%A4 b'\\xff'", "sensors/1/temp b'last'"]
