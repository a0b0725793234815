"""Sessions of people who signed in."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from fmq.clock import Clock
from fmq_web.access.tokens import digest_of, new_token

TOTAL_SECONDS = 12 * 3600.0
IDLE_SECONDS = 3600.0
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Session:
    """A session. ``key`` is the hash of its id. ``stamp`` is the user's at the sign-in. Times are of the steady clock."""

    key: str
    name: str
    stamp: bytes
    started_at: float
    seen_at: float


class Sessions:
    """All sessions, by the hashes of their ids. The one unseen for longest gives way when there are too many.

    Not for several threads: the server's loop owns it.
    """

    def __init__(self, clock: Clock, *, most: int = _MOST) -> None:
        self._clock = clock
        self._most = most
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._ended: list[str] = []

    def __len__(self) -> int:
        return len(self._open)

    def start(self, name: str, stamp: bytes) -> str:
        """Start a session of the user ``name``. Returns its id, which is kept nowhere."""
        secret, now = new_token(), self._clock.steady()
        key = digest_of(secret)
        while len(self._open) >= self._most:
            self.end(next(iter(self._open)))
        self._open[key] = Session(key, name, stamp, now, now)
        return secret

    def find(self, secret: str, *, seen: bool = True) -> Session | None:
        """The session with the id ``secret``, which counts as seen now unless ``seen`` is False. None if it has ended."""
        key, now = digest_of(secret), self._clock.steady()
        session = self._open.get(key)
        if session is None:
            return None
        if _over(session, now):
            self.end(key)
            return None
        if seen:
            self._open[key] = session = replace(session, seen_at=now)
            self._open.move_to_end(key)
        return session

    def end(self, key: str) -> None:
        """End the session ``key``, if it is still there."""
        if self._open.pop(key, None):
            self._ended.append(key)

    def sweep(self, is_valid: Callable[[Session], bool]) -> list[str]:
        """End all sessions whose time is over or that are not valid. Returns the keys of all that ended since the last call."""
        now = self._clock.steady()
        for session in list(self._open.values()):
            if _over(session, now) or not is_valid(session):
                self.end(session.key)
        ended, self._ended = self._ended, []
        return ended


def _over(session: Session, now: float) -> bool:
    return now - session.started_at >= TOTAL_SECONDS or now - session.seen_at >= IDLE_SECONDS
