"""What is in the store and what handlers got, against what was published."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import psycopg

from fmq.store.backends import backend_of
from fmq.store.options import StoreOptions


class Verdict(NamedTuple):
    """Numbers of messages. ``lost``: in no row of the store, or never handled. The others came more than once."""

    lost: int
    stored_twice: int
    handled_twice: int
    faults: tuple[str, ...]


def check(url: str, published: int, journal: Path) -> Verdict:
    """Look for every number below ``published``. Nothing may run any more."""
    rows = _stored(url)
    handled = Counter(map(int, journal.read_text().split()))
    lost = sum(number not in rows or number not in handled for number in range(published))
    return Verdict(
        lost=lost,
        stored_twice=rows.total() - len(rows),
        handled_twice=handled.total() - len(handled),
        faults=tuple(
            f"{one.about}: {one.text}"
            for one in backend_of(url).diagnose(url, StoreOptions(), thorough=True)
            if one.level == "problem"
        ),
    )


def _stored(url: str) -> Counter[int]:
    """How often each number is stored, in whatever queue."""
    found: Counter[int] = Counter()
    with psycopg.connect(url, target_session_attrs="read-write") as connection:
        for (queue,) in connection.execute("SELECT number FROM fmq_queue").fetchall():
            query = f"SELECT split_part(convert_from(substring(payload, 1, 12), 'UTF8'), '.', 1)::int FROM fmq_msg_{queue:d}"
            found.update(number for (number,) in connection.execute(query.encode()))
    return found
