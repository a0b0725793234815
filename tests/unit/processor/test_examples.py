"""The handlers in examples/ do what they show."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest

from fmq.message import Message, serve_store
from fmq.outcome import Reject
from support.handlers import load_handler

_ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_ROOT)
    monkeypatch.syspath_prepend(_ROOT)


def message(payload: bytes, number: int = 1) -> Message:
    return Message(number, "sensor/temperature", "sensor/temperature", payload, 0.0)


def test_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """A reading is printed, anything else is rejected."""
    handler = load_handler("examples.plain:handle", {})
    assert handler.handle(message(b'{"temperature": 21.54}')) is None
    assert capsys.readouterr().out == "sensor/temperature: 21.5 °C\n"
    for payload in (b"", b"\xff", b"[]", b"{}", b'{"temperature": null}'):
        with pytest.raises(Reject):
            handler.handle(message(payload))


def test_concurrent() -> None:
    """It is awaited."""
    handler = load_handler("examples.concurrent:handle", {})
    assert handler.is_async
    assert asyncio.run(handler.handle(message(b"x"))) is None


def test_batch() -> None:
    """One result each."""
    handler = load_handler("examples.batch:handle", {})
    assert handler.is_batch
    assert handler.handle([message(b"x"), message(b"")]) == [True, False]


def test_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that comes twice is kept once; one of another queue or store with the same number is kept as well."""
    handler = load_handler("examples.database:Readings", {})
    monkeypatch.chdir(tmp_path)
    assert handler.setup is not None
    assert handler.teardown is not None
    handler.setup()
    for store in (UUID(int=1), UUID(int=2)):
        serve_store(store)
        for queue in ("a", "b"):
            handler.handle(message(b"x")._replace(queue=queue))
            handler.handle(message(b"x")._replace(queue=queue, retry_count=1))
    handler.teardown()
    with closing(sqlite3.connect(tmp_path / "readings.db")) as kept:
        assert kept.execute("SELECT count(*), count(DISTINCT id) FROM reading").fetchone() == (4, 4)
