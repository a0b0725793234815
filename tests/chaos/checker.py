"""What is in the store and what processors did, against what was published."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos.journal import Deeds
from support.counting import counted, counters, query, reading


@dataclass(frozen=True, slots=True)
class Stored:
    """The rows of all queues, against the numbers that were published."""

    lost: int
    duplicated: int
    faults: list[str] = field(default_factory=list)


def check_store(path: Path, published: int, *, ordered_topics: bool = True) -> Stored:
    """Every number below ``published`` is in some row; the counters equal a count; the file is sound.

    With ``ordered_topics``, the first copies of each topic's messages are in the order of publication.
    """
    faults: list[str] = []
    seen = bytearray(published)
    rows = 0
    last: dict[str, int] = {}
    swapped = 0
    for topic, number in _messages(path):
        rows += 1
        if not seen[number]:
            seen[number] = 1
            swapped += number < last.get(topic, -1)
            last[topic] = max(number, last.get(topic, -1))
    if ordered_topics and swapped:
        faults.append(f"{swapped} messages were stored after a later one of their topic")
    there = sum(seen)
    faults += check_file(path)
    return Stored(published - there, rows - there, faults)


def _messages(path: Path) -> Iterator[tuple[str, int]]:
    """Topic and number of every message, queue by queue, in the order in which they were stored."""
    with reading(path) as ask:
        for (table,) in ask("SELECT table_name FROM fmq_queue"):
            statement = f'SELECT topic, CAST(substr(payload, 1, 12) AS TEXT) FROM "{table}" ORDER BY id'
            for topic, head in ask(statement):
                yield topic, int(head.partition(".")[0])


def missing(path: Path, published: int) -> int:
    """How many numbers below ``published`` are in no row."""
    return len(set(range(published)) - numbers(path))


def numbers(path: Path) -> set[int]:
    """The numbers at the beginning of all payloads, in whatever queue."""
    return {number for _, number in _messages(path)}


def check_file(path: Path) -> list[str]:
    """What is wrong with the file itself and its counters."""
    faults: list[str] = []
    if (state := query(path, "PRAGMA integrity_check")) != [("ok",)]:
        faults.append(f"integrity_check: {state[:3]}")
    told, count = counters(path), counted(path)
    if told != count:
        faults.append(f"the counters say {told}, a count {count}")
    return faults


def check_deeds(deeds: Deeds, published: Iterable[int], *, in_order: bool = False) -> tuple[int, list[str]]:
    """How many messages no handler has got, and what else must not be."""
    never = sum(b"%d" % number not in deeds.handled for number in published)
    faults = [f"{len(deeds.held_twice)} messages held twice at once: {deeds.held_twice[0]}"] if deeds.held_twice else []
    if in_order and deeds.out_of_order:
        faults.append(f"{deeds.out_of_order} messages were handled after a later one of their topic")
    return never, faults
