"""Taking back subscriptions without losing what the broker holds for them: read until empty, UNSUBSCRIBE, read again.

Until the first of these is proven (see drain), every subscription stays. So nothing is lost if a broker drops at
UNSUBSCRIBE what it has buffered, as it may (MQTT 5, section 3.10.4).
"""

from math import inf

from fmq.clock import Clock
from fmq.errors import FmqError
from fmq.service.log import shorten
from fmq_listener.mqtt.drain import HOLD_SECONDS, Drain
from fmq_listener.mqtt.packets.batch import Batch
from fmq_listener.mqtt.subscriptions.ledger import Ledger
from fmq_listener.mqtt.subscriptions.removals import Removals
from fmq_listener.mqtt.wire import WireClient

_NEW_SESSION_SECONDS = 1.0
"""For how long a session that has just begun must prove to be empty, at the most."""


class LeaveInDoubt(FmqError):
    """The session may still hold messages: ending it now might lose them."""


class Departure:
    """Takes back what is no longer wanted, on one connection after the other. With ``last``, all of it."""

    def __init__(self, client: WireClient, ledger: Ledger, *, clock: Clock, seconds: float, last: bool) -> None:
        """``seconds``: for how long a resumed session must prove to be empty."""
        self._client = client
        self._ledger = ledger
        self._removals = Removals(client, ledger, clock=clock)
        self._clock = clock
        self._last = last
        self._drain: Drain | None = None
        self._taken_back = False
        self._held = False
        self._passed_over = 0
        self._resumed_seconds = self._seconds = seconds
        self.complete = False
        """Whether the session holds no subscription and no message any more; only with ``last``."""

    @property
    def wait(self) -> float:
        """How long to wait for messages at most, in seconds."""
        return inf if self._drain is None else self._drain.wait

    def begin(self, *, session_present: bool) -> None:
        """A connection has begun."""
        self.complete = self._taken_back = False
        self._passed_over = 0
        self._removals.reset()
        self._seconds = self._resumed_seconds if session_present else min(_NEW_SESSION_SECONDS, self._resumed_seconds)
        self._drain = Drain(self._clock, seconds=self._seconds) if self._ledger.former else None

    def step(self) -> None:
        """Go on where the last answers allow it. Everything received has to be acknowledged.

        Raises LeaveInDoubt and StoreUnavailable.
        """
        self._removals.settle()
        drain = self._drain
        if drain is None:
            if self._taken_back and self._last and not self.complete and not self._removals.awaited:
                self._look_once_more()
            return
        if (received := self._client.received_before_pong) is not None:
            drain.answered(received)
        if drain.done:
            if self._last and self._passed_over:
                raise LeaveInDoubt(
                    f"the broker holds messages larger than FMQ_MAX_PACKET_BYTES ({self._passed_over}); raise the setting "
                    "and leave again"
                )
            self._drain = None
            if self._taken_back:
                self.complete = True
            else:
                self._taken_back = True
                self._removals.ask()
        elif drain.due:
            drain.asked(self._client.received)
            self._client.ping()

    def _look_once_more(self) -> None:
        """What was published until UNSUBSCRIBE is still to come, as late as everything before."""
        if self._removals.kept:
            reasons = ", ".join(f"{shorten(text)}: {why}" for text, why in self._removals.kept.items())
            raise LeaveInDoubt(f"the broker did not confirm that it removed the subscriptions ({reasons})")
        self._drain = Drain(self._clock, seconds=self._seconds)

    def hold(self) -> float:
        """For how many seconds to let messages gather before their acknowledgement."""
        self._held = self._drain is not None and self._drain.take_hold()
        return HOLD_SECONDS if self._held else 0.0

    def gathered(self, batch: Batch) -> None:
        """``batch`` came between two acknowledgements."""
        self._passed_over += sum(1 for one in batch.oversized if one.qos)
        if self._drain is not None and batch.owed:
            self._drain.gathered(batch.owed, held=self._held)
