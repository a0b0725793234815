"""A circuit breaker: decides when a handler's target counts as down, and when to try it again. No I/O.

While it is closed, everything is handled. While it is open, single messages are claimed as probes, and the first success
closes it. An attempt that fails because the target is down does not count against the message's retries (docs/adr/0012).
"""

import random
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from fmq.backoff import Backoff
from fmq.clock import Clock
from fmq.message import Message

UNAVAILABLE_IN_A_ROW = 2
"""The number of attempts in a row with an unavailable target that open the circuit. One may be a transient fault."""
LONGEST_AFTER = 3600.0
"""The longest wait that a target can ask for, in seconds."""
_REMEMBERED = 1_000
_Key = tuple[str, int]


class Failure(NamedTuple):
    """A failed attempt. ``after``: the wait that the target asked for, in seconds, if any."""

    reason: str
    is_unavailable: bool = False
    after: float | None = None


class Observer(Protocol):
    """Receives each change."""

    def opened(self, reason: str, probe_in: float) -> None:
        """The circuit has opened. The first probe follows in ``probe_in`` seconds."""
        ...

    def probing(self, message: Message) -> None:
        """A probe begins."""
        ...

    def probed(self, reason: str, probe_in: float) -> None:
        """The probe failed. The next one follows in ``probe_in`` seconds."""
        ...

    def closed(self, seconds: float) -> None:
        """The circuit has closed after ``seconds``."""
        ...


@dataclass(slots=True)
class _Trouble:
    """How often a message found its target unavailable, and whether it was alone in that."""

    tries: int
    was_alone: bool = False


class Breaker:
    """The state of one circuit. Receives every attempt, in the order of their ends."""

    def __init__(
        self, *, failures: int, backoff: Backoff, clock: Clock, rng: random.Random, observer: Observer
    ) -> None:
        """``failures`` in a row open the circuit; 0: it never opens. ``backoff`` is that of the probes."""
        self._failures = failures
        self._backoff = backoff
        self._clock = clock
        self._rng = rng
        self._observer = observer
        self._in_a_row = 0
        self._unavailable = 0
        self._row: set[_Key] = set()
        """The messages of the failures in a row, and of attempts that ended while the circuit was already open."""
        self._troubled: OrderedDict[_Key, _Trouble] = OrderedDict()
        self._latest: dict[str, _Key] = {}
        """By queue, the message whose latest attempt found the target unavailable."""
        self._opened_at: float | None = None
        self._is_news = False
        self._probe: _Key | None = None
        self._failed_probes = 0
        self._was_asked = False
        """Whether the target has asked for a wait since the circuit opened."""
        self.probe_at = 0.0
        """When the next probe is due, in steady seconds, while the circuit is open."""

    @property
    def is_open(self) -> bool:
        """Whether only a probe may be claimed."""
        return self._opened_at is not None

    def has_opened(self) -> bool:
        """Whether it has opened since the last call. Messages that have not started should then be given back."""
        is_news, self._is_news = self._is_news, False
        return is_news

    @property
    def may_probe(self) -> bool:
        """Whether a probe may be claimed now."""
        return self.is_open and self._probe is None and self._clock.steady() >= self.probe_at

    def begin_probe(self, message: Message) -> None:
        """``message`` is the probe. Its attempt is reported like any other."""
        self._probe = _key(message)
        self._observer.probing(message)

    @property
    def is_calm(self) -> bool:
        """Whether a success would change nothing: nearly always."""
        return self._opened_at is None and not self._troubled and not self._in_a_row

    def succeeded(self, message: Message) -> None:
        """An attempt was handled: the target is up."""
        if self._troubled:
            self._clear(message)
        if self._opened_at is None:
            if self._in_a_row:
                self._forget_row()
        elif _key(message) == self._probe:
            self._close(self._opened_at)
        else:
            self.probe_at = self._clock.steady()  # it may have begun before the outage: probe again soon

    def inconclusive(self, message: Message) -> None:
        """An attempt ended and says nothing about the target. If it was the probe, another one may follow at once."""
        if self._probe == _key(message):
            self._probe = None

    def failed(self, message: Message, failure: Failure) -> float | None:
        """An attempt failed. None: it counts. Otherwise it does not count and is due again in this number of seconds."""
        if not self._failures:
            return None
        if self._opened_at is not None:
            return self._failed_while_open(message, failure)
        is_to_blame = failure.is_unavailable and self._is_to_blame(message)
        tries = self._note(message, failure, is_to_blame=is_to_blame)
        if is_to_blame:
            return None
        self._in_a_row += 1
        self._unavailable += failure.is_unavailable
        self._row.add(_key(message))
        if self._is_down():
            return max(self._open(failure), self._delay(tries, failure))
        return self._delay(tries, failure) if failure.is_unavailable else None

    def _failed_while_open(self, message: Message, failure: Failure) -> float:
        now = self._clock.steady()
        tries = self._note(message, failure)
        self._was_asked |= failure.after is not None
        if _key(message) == self._probe:
            self._probe = None
            self._failed_probes += 1
            self.probe_at = now + self._delay(1 + self._failed_probes, failure)
            self._observer.probed(failure.reason, self.probe_at - now)
        else:
            self._row.add(_key(message))
            if failure.after is not None:
                self.probe_at = max(self.probe_at, now + self._delay(1, failure))
        return max(self.probe_at - now, self._delay(tries, failure))

    def _open(self, failure: Failure) -> float:
        delay = self._delay(1, failure)
        self._opened_at = self._clock.steady()
        self._is_news = True
        self.probe_at = self._opened_at + delay
        self._failed_probes = 0
        self._was_asked = failure.after is not None
        self._observer.opened(f"{self._in_a_row} failures in a row, the last: {failure.reason}", delay)
        return delay

    def _close(self, opened_at: float) -> None:
        self._observer.closed(self._clock.steady() - opened_at)
        if not self._failed_probes and not self._was_asked:
            # The next message succeeded at once, so the failures were those of the messages that opened the circuit.
            for key in self._row:
                if trouble := self._troubled.get(key):
                    trouble.was_alone = True
        self._opened_at = self._probe = None
        self._forget_row()

    def _delay(self, tries: int, failure: Failure) -> float:
        """The backoff after ``tries`` failures, or the wait that the target asked for, if that is longer."""
        asked = min(failure.after or 0.0, LONGEST_AFTER)
        return max(asked, self._backoff.delay(tries, self._rng))

    def _is_down(self) -> bool:
        if self._unavailable >= UNAVAILABLE_IN_A_ROW:
            return True
        # One message that fails repeatedly is not an outage. It ends as a dead letter, as without a circuit breaker.
        return self._in_a_row >= self._failures and (len(self._row) > 1 or self._failures == 1)

    def _is_to_blame(self, message: Message) -> bool:
        """Whether others reach the target that this message finds unavailable, just before and just after."""
        trouble = self._troubled.get(_key(message))
        return trouble is not None and trouble.was_alone and not self._in_a_row

    def _note(self, message: Message, failure: Failure, *, is_to_blame: bool = False) -> int:
        """Record the result. Returns how often the message has found its target unavailable."""
        key = _key(message)
        self._latest.pop(message.queue, None)
        if not failure.is_unavailable:
            return 0
        before = self._troubled.pop(key, None)
        self._troubled[key] = trouble = _Trouble(before.tries + 1 if before else 1, is_to_blame)
        self._latest[message.queue] = key
        if len(self._troubled) > _REMEMBERED:
            self._troubled.popitem(last=False)
        return trouble.tries

    def _clear(self, message: Message) -> None:
        """``message`` was handled, so the failure before it was that message's own, unless time has passed."""
        self._troubled.pop(_key(message), None)
        latest = self._latest.pop(message.queue, None)
        trouble = self._troubled.get(latest) if latest else None
        if trouble and not self.is_open:
            trouble.was_alone = True

    def _forget_row(self) -> None:
        self._in_a_row = self._unavailable = 0
        self._row.clear()


def _key(message: Message) -> _Key:
    return message.queue, message.id
