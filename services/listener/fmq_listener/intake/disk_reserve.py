"""Room on the store's disk: intake leaves some, so that processors can go on when it has to stop."""

from fmq.errors import StoreUnavailable
from fmq.quantities import show
from fmq.store.roles import Statistics

_WRITTEN = 2
"""How often a message is written: to the log, and from there to the file."""


class Room:
    """On a disk that is full to the last byte nothing can be settled either, and nothing would ever make room."""

    def __init__(self, store: Statistics, *, reserve: int) -> None:
        self._store = store
        self._reserve = reserve
        self._size = 0
        self._is_known = True

    def require(self, size: int) -> None:
        """Raise StoreUnavailable unless ``size`` more bytes leave the reserve free.

        A store on another host guards its own disk: it is asked once.
        """
        self._size = size
        if not self._is_known:
            return
        free = self._store.store_stats().free_disk_bytes
        self._is_known = free is not None
        if free is not None and free < self._reserve + _WRITTEN * size:
            raise StoreUnavailable(
                f"only {free // 1024} KiB of the disk are free, and FMQ_DISK_RESERVE_BYTES={show(self._reserve, 'bytes')} keeps some "
                "for processors"
            )

    def require_again(self) -> None:
        """The same check for the batch that was last refused or stored."""
        self.require(self._size)
