"""How much memory decoded values may take, over all calls that run."""

import threading
from collections.abc import Callable


class NoRoom(Exception):
    """Other values take the memory for now."""


class Room:
    """Memory of ``most`` bytes for values. Any thread may take a share of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held = 0
        self._is_full = False
        """Someone was refused. Nothing more is granted until all is given back: so a large value gets its turn."""

    def share(self) -> "Share":
        """The share of one call; to be ended with it."""
        return Share(self)

    def take(self, size: int, *, own: int = 0, refuse: bool = True) -> bool:
        """Take ``size`` bytes if there is room. Who has all that is held, ``own``, gets more than there is, and is alone.

        With ``refuse``, no room means that nothing more is granted until all is given back.
        """
        with self._lock:
            if self._held > own and (self._is_full or self._held + size > self._most):
                self._is_full |= refuse
                return False
            self._held += size
            return True

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._held -= size
            if not self._held:
                self._is_full = False


class Share:
    """What the values of one call take."""

    def __init__(self, room: Room | None) -> None:
        self._room = room
        self._before = 0
        self.held = 0

    def begin(self) -> int:
        """Begin with another value. Returns what is held before it."""
        self._before = self.held
        return self.held

    def take(self, size: int, exactly: Callable[[], int] | None = None) -> None:
        """Take room for a value of ``size`` bytes at most; ``exactly`` tells it better, and is asked if there is too little.

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
        """Give back all but ``held`` bytes."""
        if self._room is not None and self.held > held:
            self._room.give_back(self.held - held)
            self.held = held

    def end(self) -> None:
        """Give back everything."""
        self.shrink(0)


UNBOUNDED = Share(None)
"""For whoever holds one value at a time."""
