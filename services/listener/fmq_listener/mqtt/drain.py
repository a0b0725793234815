"""Whether the broker still holds messages of this session: proven by answers, never by silence.

A broker drops what it has buffered for a subscription when it may (MQTT 5, section 3.10.4: it MAY continue to deliver),
and a session that ends takes its messages with it. So before UNSUBSCRIBE, and before a session ends, this looks whether
anything is left, in rounds:

1. Everything received is stored and acknowledged, and a PINGREQ goes out behind the last PUBACK. A broker handles the
   packets of a connection in their order, so before PINGRESP it sends what the PUBACKs made room for.
2. PINGRESP comes, and before it came n messages. A broker that has more to send than it may have in flight (Receive
   Maximum, or a limit of its own) fills that window at once. The window is at least as large as the most messages that
   came between two acknowledgements on this connection, after the first round: what a broker delivers again when a session
   is resumed may exceed its window (Mosquitto 2.0.11). If n is at most half of it, the broker had room and did not use
   it: it holds nothing back. Under load n is what publishers send meanwhile.
3. The same holds for each batch between two rounds that comes at once after an acknowledgement.

Some brokers answer a ping in one process and deliver in another (RabbitMQ, NATS), or deliver again only after a while
what was not acknowledged (NATS). So the rounds have to hold for some seconds in a row; each answer proves that neither
the network nor the broker stands still meanwhile.
"""

from fmq.clock import Clock

_ROUND_SECONDS = 0.2
_LEAST_ROUNDS = 3
HOLD_SECONDS = 1.5
"""How long to let messages gather before their acknowledgement, to see how many the broker has in flight."""
_FIRST_HOLD_SECONDS, _HOLD_EVERY_SECONDS = 3.0, 10.0
"""When, and how often at most: it slows down the delivery of a backlog."""
_AT_ONCE_SECONDS = 0.5
"""A broker that holds messages back answers acknowledgements with more of them within this time."""
_DOUBT_SECONDS = 1.0


class Drain:
    """Counts rounds on one connection. ``received`` always is the number of messages that came on it so far."""

    def __init__(self, clock: Clock, *, seconds: float) -> None:
        """``seconds``: for how long rounds must show that nothing is left."""
        self._clock = clock
        self._seconds = seconds
        self._largest = 0
        self._received_before = 0
        self._asked_at = 0.0
        self._waiting = False
        self._began = False
        self._empty_since: float | None = None
        self._rounds = 0
        self._next_at = 0.0
        self._doubted_at = -_DOUBT_SECONDS
        self._gathered_at = -_AT_ONCE_SECONDS
        self._hold_at = clock.steady() + _FIRST_HOLD_SECONDS

    @property
    def done(self) -> bool:
        """Whether the broker is proven to hold nothing more."""
        if self._empty_since is None or self._rounds < _LEAST_ROUNDS:
            return False
        return self._asked_at - self._empty_since >= self._seconds

    @property
    def due(self) -> bool:
        """Whether the next PINGREQ should go out. Only to be asked when everything received is acknowledged."""
        return not self._waiting and self._clock.steady() >= self._next_at

    @property
    def wait(self) -> float:
        """Seconds until then."""
        return _ROUND_SECONDS if self._waiting else max(0.0, self._next_at - self._clock.steady())

    def take_hold(self) -> bool:
        """Whether to let messages gather now: rounds can't tell for some time, and the window may be larger than seen."""
        now = self._clock.steady()
        if now - self._doubted_at > _DOUBT_SECONDS or now < self._hold_at:
            return False
        self._hold_at = now + _HOLD_EVERY_SECONDS
        return True

    def asked(self, received: int) -> None:
        """A PINGREQ goes out."""
        self._waiting = True
        self._received_before = received
        self._asked_at = self._clock.steady()

    def answered(self, received: int) -> None:
        """Its PINGRESP has come, behind ``received`` messages."""
        if not self._waiting:
            return
        self._waiting = False
        if not self._began:
            self._began = True
            self._next_at = self._clock.steady()
            return
        count = received - self._received_before
        if 2 * count > self._largest:
            self._next_at = self._clock.steady()
            self._doubt()
            return
        self._next_at = self._clock.steady() + _ROUND_SECONDS
        self._rounds += 1
        if self._empty_since is None:
            self._empty_since = self._clock.steady()

    def gathered(self, count: int, *, held: bool) -> None:
        """This number of messages came between two acknowledgements; ``held``: because they were left to gather."""
        if not self._began:
            return
        now = self._clock.steady()
        self._largest = max(self._largest, count)
        if not held and 2 * count > self._largest and now - self._gathered_at < _AT_ONCE_SECONDS:
            self._doubt()
        self._gathered_at = now

    def _doubt(self) -> None:
        """There may be more: the proof begins anew."""
        self._empty_since = None
        self._rounds = 0
        self._doubted_at = self._clock.steady()
