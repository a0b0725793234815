"""`fmq import`: stores the messages of a file, each once."""

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import BinaryIO, NamedTuple

import click

from fmq.cli.common.auditing import audited
from fmq.cli.common.output import progress_bar, say
from fmq.cli.common.parameters import QUEUE, SPAN
from fmq.cli.common.selecting import store_options
from fmq.cli.common.stopping import stoppable
from fmq.cli.help import SettingsCommand
from fmq.cli.main import read_settings
from fmq.errors import FmqError
from fmq.message import Incoming, Terms
from fmq.message_json import require_storable
from fmq.service.settings import StoreSettings
from fmq.store.backends import open_store
from fmq.store.keys import MessageKeys
from fmq.store.moving.file_frame import FrameReader
from fmq.store.moving.json_lines import read_line
from fmq.store.options import Durability
from fmq.store.records import StoredMessage
from fmq.store.roles import Store
from fmq.store.selection import State
from fmq.text import counted

_WRONG_SHOWN = 20
_PUT = 500
_PUT_BYTES = 8 * 1024 * 1024
_keys_of = lru_cache(MessageKeys)


class _Line(NamedTuple):
    """A message of the file, and the key by which it is known again."""

    message: StoredMessage
    key: str


class _Reading(NamedTuple):
    """What to make of each line."""

    into: str | None
    as_new: bool


@click.command("import", cls=SettingsCommand, short_help="Store the messages of an exported file.")
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--queue", "into", type=QUEUE, help="Store all messages in this queue. Default: the queue that each message names."
)
@click.option("--as-new", is_flag=True, help="Store all messages as pending, with no attempts counted.")
@click.option(
    "--remember",
    "remember_seconds",
    type=SPAN,
    default="30d",
    show_default=True,
    help="For how long to remember what was imported, and skip it in another import. 0 skips nothing.",
)
@click.option("--dry-run", is_flag=True, help="Only read the file and print the number of messages.")
@store_options
def import_(
    file: BinaryIO,
    *,
    into: str | None,
    as_new: bool,
    remember_seconds: float,
    dry_run: bool,
    **flags: object,
) -> None:
    """Store the messages of FILE (JSON lines of `fmq export`; - is standard input) with state, times, reasons and attempts.

    Claimed ones become pending. Creates queues that do not exist. Skips messages that were imported into the queue before.
    Reads the whole file first: if any line is invalid, or one is missing, it stores nothing and exits 1. If it is stopped
    or killed, run it again.
    """
    stored: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    reading = _Reading(into, as_new)
    with _read_twice(file) as again:
        _require_right(again, reading)
        try:
            if dry_run:
                for batch in _batches(again, reading):
                    stored.update(one.message.message.queue for one in batch)
            else:
                settings = read_settings(StoreSettings, {**flags, "check_integrity": False})
                with (
                    open_store(settings.queue_url, settings.store_options(Durability.FULL)) as store,
                    audited(store, "import", into or "", getattr(file, "name", "")) as progress,
                ):
                    _store(store, again, reading, remember_seconds, stored, skipped)
                    progress.add(stored.total())
        finally:
            _tell(stored, skipped, dry_run=dry_run)


@contextmanager
def _read_twice(file: BinaryIO) -> Iterator[BinaryIO]:
    """``file``, or for a pipe a copy on disk."""
    if file.seekable():
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        yield copy


def _require_right(file: BinaryIO, reading: _Reading) -> None:
    """Read all lines and return to the start. Raises FmqError that names each invalid field of each invalid line."""
    begin = file.tell()
    wrong: list[str] = []
    more = 0
    frame = FrameReader()
    number = 0
    for number, line in enumerate(file, 1):
        try:
            if frame.is_message(line):
                message = _read(line, number, reading).message.message
                require_storable(Incoming(message.queue, message.topic, b"", message.received_at))
        except ValueError as error:
            if len(wrong) < _WRONG_SHOWN:
                why = "it is not JSON" if isinstance(error, json.JSONDecodeError) else error
                wrong.append(f"Line {number} is not an exported message: {why}")
            else:
                more += 1
    try:
        frame.require_end()
    except ValueError as error:
        wrong.append(f"After line {number}: {error}")
    if wrong:
        rest = [f"and {more:,} more"] if more else []
        raise FmqError("\n".join(["Nothing was stored.", *wrong, *rest]))
    file.seek(begin)


def _read(line: bytes, number: int, reading: _Reading) -> _Line:
    one, store = read_line(line)
    # A line that does not say from which store it comes is known again at the same place of the same file.
    key = f"{number:012d} {hashlib.sha256(line).hexdigest()}" if store is None else _keys_of(store).key(one.message)
    if reading.into is not None:
        one = replace(one, message=one.message._replace(queue=reading.into))
    if reading.as_new:
        one = StoredMessage(one.message._replace(retry_count=0), State.PENDING)
    return _Line(one, key)


def _tell(stored: Counter[str], skipped: Counter[str], *, dry_run: bool) -> None:
    verb = "would store" if dry_run else "stored"
    for name in sorted({*stored, *skipped}):
        say(f"{verb} {counted(stored[name], 'message')} of {name}{_known(skipped[name])}")
    say(f"{verb} {counted(stored.total(), 'message')}{_known(skipped.total())}")


def _known(skipped: int) -> str:
    return f"; skipped {skipped:,} that were imported before" if skipped else ""


def _store(
    store: Store,
    file: BinaryIO,
    reading: _Reading,
    remember_seconds: float,
    stored: Counter[str],
    skipped: Counter[str],
) -> None:
    known = set(store.names())
    report = "The sums say what was stored. Run the same import again: it skips that"
    with progress_bar(_size(file), "importing") as bar, stoppable(lambda: report) as stop:
        for batch in _batches(file, reading, on_progress=bar.update):
            stop.check()
            names = [one.message.message.queue for one in batch]
            for name in set(names) - known:
                store.declare(name)
                known.add(name)
            terms = {at: Terms(one.key, remember_seconds) for at, one in enumerate(batch) if remember_seconds}
            ids = store.place([one.message for one in batch], terms=terms)
            for name, id_ in zip(names, ids, strict=True):
                (skipped if id_ is None else stored)[name] += 1


def _batches(
    file: BinaryIO, reading: _Reading, on_progress: Callable[[int], object] = lambda _bytes: None
) -> Iterator[list[_Line]]:
    batch: list[_Line] = []
    size = 0
    frame = FrameReader()
    for number, line in enumerate(file, 1):
        size += len(line)
        if frame.is_message(line):
            batch.append(_read(line, number, reading))
        if len(batch) >= _PUT or size >= _PUT_BYTES:
            yield batch
            on_progress(size)
            batch, size = [], 0
    if batch:
        yield batch


def _size(file: BinaryIO) -> int:
    """The size of a regular file; 0 for a pipe."""
    try:
        return os.fstat(file.fileno()).st_size
    except OSError:
        return 0
