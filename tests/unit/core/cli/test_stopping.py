"""Long commands that a signal ends: they say how far they got, and leave nothing half done."""

import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fmq.cli.main import exit_code, fmq_command
from fmq.errors import Stopped
from fmq.message import Incoming
from fmq.outcome import Dead, Done
from fmq.service.lifecycle import Shutdown
from fmq.store.backends import open_store
from support.counting import counted

_BEFORE = {"q": (3, 0, 2, 1), "unused": (0, 0, 1, 0)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store and an exported file; a signal comes as soon as a command has begun its work."""
    monkeypatch.chdir(tmp_path)
    with open_store("sqlite:///mqtt_queue.db") as store:
        for name in ("q", "unused"):
            store.declare(name)
        store.put([Incoming("q", "t", b"x", 1.0) for _ in range(6)])
        store.put([Incoming("unused", "t", b"x", 1.0)])
        claims = list(store.claim("q", 3, lease=60))
        store.settle(
            zip([*claims, *store.claim("unused", 1, lease=60)], (Done(), Done(), Dead("x"), Done()), strict=True)
        )
    _run("export", "q", "--output", "exported")
    monkeypatch.setattr(Shutdown, "install", Shutdown.request)
    return tmp_path


def _run(*words: str) -> Result:
    return CliRunner().invoke(fmq_command, words, standalone_mode=False)


@pytest.mark.parametrize(
    ("words", "report"),
    [
        ("requeue q --done-since 1h --yes", "Requeued 0 messages of q until then. Run the same command again"),
        ("dead requeue q --all", "Requeued 0 messages of q until then"),
        ("dead purge q --all --yes", "Purged 0 messages of q until then"),
        ("queue purge q --yes", "Purged 0 messages of q until then"),
        ("queue delete unused --yes", "unused is still there. Deleted 1 done message"),
        ("export q --output new", "3 messages of about 3 were exported; new was removed"),
        ("backup new", "was copied. No file is left"),
        ("import exported --queue other", "Run the same import again: it skips that"),
        ("migrate --from sqlite:///mqtt_queue.db --to sqlite:///other.db", "Run the same command again: it goes on"),
    ],
)
def test_a_signal(folder: Path, words: str, report: str) -> None:
    """The message says what was done until then; files that are not whole are gone."""
    error = _run(*words.split()).exception
    assert isinstance(error, Stopped)
    assert str(error).startswith("Stopped by SIGINT. ")
    assert report in str(error)
    assert exit_code(error) == 130
    assert not (folder / "new").exists()
    assert not list(folder.glob("*.partial"))
    found = counted(folder / "mqtt_queue.db")
    assert found["q"] == _BEFORE["q"] or words.startswith("migrate")


def test_handlers_of_signals_are_put_back(folder: Path) -> None:
    """A signal that comes after the work ends the process as usual."""
    before = signal.getsignal(signal.SIGINT)
    assert _run("backup", str(folder / "copy")).exception is not None
    assert signal.getsignal(signal.SIGINT) is before
