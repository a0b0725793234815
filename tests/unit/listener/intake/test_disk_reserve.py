"""The room that intake leaves on a disk."""

from dataclasses import dataclass
from typing import cast

import pytest

from fmq.errors import StoreUnavailable
from fmq.message import StoreStats
from fmq.store.roles import Statistics
from fmq_listener.intake.disk_reserve import Room
from support.clock import FakeClock

_RESERVE = 1_000


@dataclass
class _Disk:
    """A store whose disk has ``free`` bytes left. Counts how often it was asked."""

    free: int | None
    looks: int = 0

    def store_stats(self) -> StoreStats:
        self.looks += 1
        return StoreStats(database_bytes=0, wal_bytes=0, free_disk_bytes=self.free)


def _room(disk: _Disk, clock: FakeClock) -> Room:
    return Room(cast("Statistics", disk), clock, reserve=_RESERVE)


def test_a_batch_must_leave_the_reserve() -> None:
    """Twice its size counts; what is refused is looked at again each time, and goes in once there is room."""
    disk = _Disk(free=_RESERVE + 200)
    room = _room(disk, FakeClock())
    room.require(100)
    with pytest.raises(StoreUnavailable, match="FMQ_DISK_RESERVE_BYTES"):
        room.require(101)
    with pytest.raises(StoreUnavailable):
        room.require_again()
    disk.free = _RESERVE + 202
    room.require_again()
    assert disk.looks == 4


def test_small_batches_share_a_look() -> None:
    """The disk is looked at again after 50 ms, or before half of the room is used up: others write too."""
    disk, clock = _Disk(free=_RESERVE + 10_000), FakeClock()
    room = _room(disk, clock)
    for _ in range(20):
        room.require(100)
    assert disk.looks == 1
    clock.advance(0.06)
    room.require(100)
    assert disk.looks == 2
    for _ in range(40):
        room.require(100)
    assert disk.looks == 3


def test_a_disk_elsewhere_is_not_asked_again() -> None:
    """A store that does not know its disk guards it itself."""
    disk, clock = _Disk(free=None), FakeClock()
    room = _room(disk, clock)
    for _ in range(3):
        room.require(10**9)
        clock.advance(1)
    assert disk.looks == 1
