"""Limits the memory of decoded values over all running calls."""

import threading
from collections.abc import Callable


class NoRoom(Exception):
    """Other values take the memory at the moment."""


class Room:
    """Memory of ``most`` bytes for values. Any thread may take a share of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held = 0
        self._is_full = False
        """A value was refused. Nothing is granted until all memory is released, so that a large value gets its turn."""

    def share(self) -> "Share":
        """The share of one call. End it with the call."""
        return Share(self)

    def take(self, size: int, *, own: int = 0, refuse: bool = True) -> bool:
        """Take ``size`` bytes if there is room. A call that holds all the memory in use (``own``) may exceed the limit.

        With ``refuse``, a lack of room stops further grants until all memory is released.
        """
        with self._lock:
            if self._held > own and (self._is_full or self._held + size > self._most):
                self._is_full |= refuse
                return False
            self._held += size
            return True

    def give_back(self, size: int) -> None:
        """Release memory."""
        with self._lock:
            self._held -= size
            if not self._held:
                self._is_full = False


class Share:
    """The memory that the values of one call take."""

    def __init__(self, room: Room | None) -> None:
        self._room = room
        self._before = 0
        self.held = 0

    def begin(self) -> int:
        """Begin with another value. Returns the memory held before it."""
        self._before = self.held
        return self.held

    def take(self, size: int, exactly: Callable[[], int] | None = None) -> None:
        """Take memory for a value of at most ``size`` bytes. ``exactly`` is called for a better estimate if there is too little.

        Raises NoRoom.
        """
        if self._room is None:
            return
        own = self.held - self._before
        if not self._room.take(size, own=own, refuse=exactly is None):
            size = min(size, exactly()) if exactly else size
            if exactly is None or not self._room.take(size, own=own):
                raise NoRoom
        self.held += size

    def shrink(self, held: int) -> None:
        """Release all but ``held`` bytes."""
        if self._room is not None and self.held > held:
            self._room.give_back(self.held - held)
            self.held = held

    def end(self) -> None:
        """Release everything."""
        self.shrink(0)


UNBOUNDED = Share(None)
"""For a caller that holds one value at a time."""
