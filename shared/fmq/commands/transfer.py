"""`fmq export` and `fmq import`: messages as JSON lines, from one store to another or to any other program."""

import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import click

from fmq.cli import read_settings
from fmq.commands.choosing import (
    open_store,
    read_letters,
    read_messages,
    selection_options,
    store_options,
    walk,
)
from fmq.commands.parameters import QUEUE
from fmq.commands.progress import progress_bar
from fmq.commands.table import say
from fmq.errors import FmqError
from fmq.message import Incoming
from fmq.message_json import letter_fields, message_fields, read_message_json, require_storable
from fmq.queue import Durability, Queue, open_queue
from fmq.selection import Selection, State
from fmq.settings import StoreSettings

_READ = 100
_WRONG_SHOWN = 20
_PUT = 500
_PUT_BYTES = 8 * 1024 * 1024


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("queue", type=QUEUE)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in State]),
    default=(State.PENDING.value,),
    show_default=True,
    help="Which messages; may be given again.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="A new file; by default standard output."
)
@selection_options(State.PENDING)
@store_options
def export(queue: str, *, states: tuple[str, ...], output: Path | None, which: Selection, **flags: object) -> None:
    """Write messages of QUEUE as JSON, one per line, with all their fields. Changes nothing."""
    with open_store(flags) as store:
        stats = store.stats(queue)
        length = sum(getattr(stats, state) for state in states)
        total = 0
        with _target(output) as target, progress_bar(length, "exporting") as bar:
            for state in states:
                for lines, looked_at in _lines(store, queue, replace(which, state=State(state))):
                    for line in lines:
                        target.write(line)
                        total += 1
                    bar.update(looked_at)
        left = f"; {stats.claimed:,} that processors held were left out" if stats.claimed else ""
        say(f"exported {total:,} messages of {queue}{left}", err=True)


def _lines(store: Queue, name: str, which: Selection) -> Iterator[tuple[Iterator[bytes], int]]:
    """The lines of one step after another, and how many messages were looked at for it."""
    for found in walk(store, name, which, limit=_READ):
        if which.state is State.DEAD:
            fields = map(letter_fields, read_letters(store, name, found.ids, limit=_READ))
        else:
            fields = map(message_fields, read_messages(store, name, found.ids))
        yield (
            (json.dumps({**one, "state": which.state}, separators=(",", ":")).encode() + b"\n" for one in fields),
            found.looked_at,
        )


@contextmanager
def _target(output: Path | None) -> Iterator[BinaryIO]:
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with output.open("xb") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                output.unlink()  # half of it is of no use to anybody
                raise
    except FileExistsError:
        raise FmqError(f"{output} exists already: an export never replaces a file") from None
    except OSError as error:
        raise FmqError(f"{output} can't be written: {error.strerror}") from error


@click.command("import", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--queue", "into", type=QUEUE, help="Put all of them into this queue; by default each into the one it names."
)
@click.option("--dry-run", is_flag=True, help="Only read the file, and say how many it would be.")
@store_options
def import_(file: BinaryIO, *, into: str | None, dry_run: bool, **flags: object) -> None:
    """Store the messages of FILE (JSON lines of `fmq export`; - is standard input), pending, with no attempts counted.

    A queue that is not there is made. A second import of the same file stores everything a second time. The whole file is
    read first: if any line is wrong, nothing is stored, and the exit code is 1.
    """
    stored: Counter[str] = Counter()
    with _read_twice(file) as again:
        _require_right(again, into)
        try:
            if dry_run:
                for batch in _batches(again, into):
                    stored.update(one.queue for one in batch)
            else:
                settings = read_settings(StoreSettings, {**flags, "check_integrity": False})
                with open_queue(settings.queue_url, settings.store_options(Durability.FULL)) as store:
                    _store(store, again, into, stored)
        finally:
            _tell(stored, dry_run=dry_run)


@contextmanager
def _read_twice(file: BinaryIO) -> Iterator[BinaryIO]:
    """``file``, or a copy on the disk of what comes through a pipe."""
    if file.seekable():
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        yield copy


def _require_right(file: BinaryIO, into: str | None) -> None:
    """Read all lines, and come back to where they begin. Raises FmqError that names each wrong field of each wrong line."""
    begin = file.tell()
    wrong: list[str] = []
    more = 0
    for number, line in enumerate(file, 1):
        try:
            if line.strip():
                require_storable(_message(line, into))
        except ValueError as error:
            if len(wrong) < _WRONG_SHOWN:
                wrong.append(f"line {number} is no exported message: {error}")
            else:
                more += 1
    if wrong:
        rest = [f"and {more:,} more"] if more else []
        raise FmqError("\n".join(["Nothing was stored.", *wrong, *rest]))
    file.seek(begin)


def _message(line: bytes, into: str | None) -> Incoming:
    one = read_message_json(line)
    return one if into is None else one._replace(queue=into)


def _tell(stored: Counter[str], *, dry_run: bool) -> None:
    verb = "would store" if dry_run else "stored"
    for name, count in sorted(stored.items()):
        say(f"{verb} {count:,} messages of {name}")
    say(f"{verb} {stored.total():,} messages")


def _store(store: Queue, file: BinaryIO, into: str | None, stored: Counter[str]) -> None:
    known = set(store.names())
    with progress_bar(_size(file), "importing") as bar:
        for batch in _batches(file, into, told=bar.update):
            for name in {one.queue for one in batch} - known:
                store.declare(name)
                known.add(name)
            store.put(batch)
            stored.update(one.queue for one in batch)


def _batches(file: BinaryIO, into: str | None, told: Any = lambda _bytes: None) -> Iterator[list[Incoming]]:  # noqa: ANN401
    batch: list[Incoming] = []
    size = 0
    for line in file:
        size += len(line)
        if line.strip():
            batch.append(_message(line, into))
        if len(batch) >= _PUT or size >= _PUT_BYTES:
            yield batch
            told(size)
            batch, size = [], 0
    if batch:
        yield batch


def _size(file: BinaryIO) -> int:
    """Of a regular file; of a pipe nobody knows."""
    try:
        return os.fstat(file.fileno()).st_size
    except OSError:
        return 0
