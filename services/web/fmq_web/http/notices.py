"""What an action said, until the next page shows it."""

from fmq_web.http.peer.caller import Caller

_MOST = 1_000


class Notices:
    """One notice for each caller. Kept here and not in the URL, where a stranger could write one."""

    def __init__(self) -> None:
        self._waiting: dict[str, str] = {}

    def put(self, caller: Caller, said: str) -> None:
        """Keep ``said`` for the caller's next page."""
        if said:
            self._waiting[_key(caller)] = said
            while len(self._waiting) > _MOST:
                self._waiting.pop(next(iter(self._waiting)), None)

    def take(self, caller: Caller) -> str:
        """What is kept for the caller, once; empty if nothing is."""
        return self._waiting.pop(_key(caller), "")


def _key(caller: Caller) -> str:
    return caller.session or f"{caller.how} {caller.name} {caller.address}"
