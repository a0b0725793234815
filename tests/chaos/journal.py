"""What processors did, as they noted it in one file: what they claimed, what they handed to the handler, what they settled.

Each line is written in one go and appended, so that the lines of several processes stand whole beside each other, but for
the last one of a process that is killed while it writes. Such a line lacks its end, and what was to be noted has not been
followed by a settlement.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from fmq.message import Claim

_CLAIMED, _KEPT, _SETTLED, _HANDLED = b"C", b"K", b"S", b"H"
_END = b"."
_SLACK = 0.000_01  # seconds; times are written with six digits


class Journal:
    """Writes. Times are the store's own."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def claimed(self, claims: Iterable[Claim], *, lease: float) -> None:
        self._write(
            b"C %d %d %.6f %.6f" % (one.message.id, one.token, one.lease_until - lease, one.lease_until)
            for one in claims
        )

    def kept(self, claims: Iterable[Claim]) -> None:
        self._write(b"K %d %d %.6f" % (one.message.id, one.token, one.lease_until) for one in claims)

    def settling(self, claims: Iterable[Claim], *, now: float) -> None:
        """To be called before the commit."""
        self._write(b"S %d %d %.6f" % (one.message.id, one.token, now) for one in claims)

    def handled(self, number: int, topic: str, payload: bytes) -> None:
        self._write([b"H %d %b %b" % (number, topic.encode(), payload.partition(b".")[0])])

    def _write(self, lines: Iterable[bytes]) -> None:
        if data := b"".join([line + b" " + _END + b"\n" for line in lines]):
            os.write(self._file, b"\n" + data)  # after what somebody who was killed has left


@dataclass(slots=True)
class _Lease:
    start: float
    until: float
    released: float = float("inf")


@dataclass(slots=True)
class Deeds:
    """All that is in a journal."""

    handled: dict[bytes, int] = field(default_factory=lambda: defaultdict(int))
    """How often each message was handled, by the number in its payload."""
    order: dict[bytes, list[int]] = field(default_factory=lambda: defaultdict(list))
    """For each topic the ids of its messages, in the order in which they were first handled."""
    held_twice: list[str] = field(default_factory=list)
    """Claims of a message that another worker held within its lease."""

    @property
    def out_of_order(self) -> int:
        """How many messages were first handled after a later one of their topic."""
        count = 0
        for ids in self.order.values():
            highest = 0
            for number in ids:
                count += number < highest
                highest = max(highest, number)
        return count


def read_journal(path: Path) -> Deeds:
    """Read a journal that nobody writes any more."""
    deeds = Deeds()
    leases: dict[int, dict[int, _Lease]] = defaultdict(dict)
    first: set[int] = set()
    with path.open("rb") as lines:
        for line in lines:
            fields = line.split()
            if len(fields) < 2 or fields[-1] != _END:
                continue
            kind, *rest, _ = fields
            if kind == _HANDLED:
                number, topic, payload = int(rest[0]), rest[1], rest[2]
                deeds.handled[payload] += 1
                if number not in first:
                    first.add(number)
                    deeds.order[topic].append(number)
                continue
            number, token = int(rest[0]), int(rest[1])
            if kind == _CLAIMED:
                leases[number][token] = _Lease(float(rest[2]), float(rest[3]))
            elif token in leases[number]:
                lease = leases[number][token]
                if kind == _KEPT:
                    lease.until = max(lease.until, float(rest[2]))
                else:
                    lease.released = min(lease.released, float(rest[2]))
    for number, by_token in leases.items():
        if len(by_token) > 1:
            _look_for_overlaps(deeds, number, [by_token[token] for token in sorted(by_token)])
    return deeds


def _look_for_overlaps(deeds: Deeds, number: int, leases: Sequence[_Lease]) -> None:
    for one, later in pairwise(leases):
        over = min(one.until, one.released)
        if later.start < over - _SLACK:
            deeds.held_twice.append(f"message {number} was lent {over - later.start:.3f} s before its lease was over")
