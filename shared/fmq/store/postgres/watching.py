"""Waiting for the commits of others."""

from time import monotonic

from fmq.store.postgres.part import Part

_ECHO_SECONDS = 0.06
"""A session that has notified others leaves out the notifications of the next 50 ms. Who was woken looks again after them."""
_LISTEN = b"LISTEN fmq"


class WatchingPart(Part):
    """Lending.wait, by notifications."""

    _listens_in = 0
    _seen = 0
    _look_again_at: float | None = None

    def wait(self, timeout: float) -> bool:
        end = monotonic() + timeout
        while not self._has_changed():
            left = end - monotonic()
            if left <= 0:
                return False
            if self._look_again_at is not None:
                left = min(left, max(0.001, self._look_again_at - monotonic()))
            self._session.look(left)
        return True

    def alarm(self) -> int | None:
        return None  # its connection may be replaced at any time

    def _has_changed(self) -> bool:
        if not self._session.look():
            return True  # the next call connects again, or says what is wrong
        if self._listens_in != self._session.connections:
            # Nobody knows what was committed before this connection listened.
            self._session.rows(_LISTEN)
            self._listens_in = self._session.connections
            self._seen = self._session.notified
            return True
        now = monotonic()
        if self._session.notified != self._seen:
            self._seen = self._session.notified
            self._look_again_at = now + _ECHO_SECONDS
            return True
        if self._look_again_at is not None and now >= self._look_again_at:
            self._look_again_at = None
            return True
        return False
