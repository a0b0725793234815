"""Whether messages may be claimed now, and how many: the guards have their say here."""

from collections.abc import Iterator, Sequence

from fmq.message import Claim
from fmq_processor.engine.limits import Limits
from fmq_processor.engine.queues import Queues
from fmq_processor.guards.circuit_breaker import Breaker
from fmq_processor.guards.pausing import Pausing
from fmq_processor.guards.rate_limit import RateLimit
from fmq_processor.guards.store_gate import Gate


class Claiming:
    """Claims from the queues while the store, the circuit breaker and the limits allow it."""

    def __init__(
        self,
        *,
        queues: Queues,
        gate: Gate,
        breaker: Breaker,
        pausing: Pausing,
        limits: Limits,
        rate: RateLimit | None = None,
    ) -> None:
        self._queues = queues
        self._gate = gate
        self._breaker = breaker
        self._pausing = pausing
        self._limits = limits
        self._rate = rate
        self._probe_at = 0.0
        self._rate_at = 0.0

    @property
    def store_is_open(self) -> bool:
        """Whether a call to the store would be tried now."""
        return self._gate.is_open

    def reopen_store(self) -> None:
        """Let the next call to the store through, however recently one failed."""
        self._gate.try_now()

    @property
    def served(self) -> Sequence[str]:
        """The queues found so far."""
        return self._queues.served

    @property
    def missing(self) -> Sequence[str]:
        """The queues that are wanted and do not exist."""
        return self._queues.missing

    @property
    def found_nothing(self) -> bool:
        """Whether the last look at all queues found nothing to claim. Says nothing while the circuit is open."""
        return self._queues.found_nothing and not self.is_rate_limited

    @property
    def is_rate_limited(self) -> bool:
        """Whether due messages wait because of the rate limit."""
        return self._rate is not None and self._rate.waits_until is not None

    @property
    def probe_at(self) -> float | None:
        """When the next probe is due, in steady seconds, if the circuit is open."""
        return self._breaker.probe_at if self._breaker.is_open else None

    @property
    def rate_note(self) -> str:
        """The rate limit, for people, from any thread. Empty: there is none."""
        return self._rate.note if self._rate else ""

    @property
    def due_in(self) -> float:
        """Seconds until the next look at the queues, if nothing happens before; 0 or less: now."""
        return self._queues.due_in

    def look_again(self) -> None:
        """Look at all queues at once."""
        self._queues.look_again()

    def look_within(self, seconds: float) -> None:
        """Look for messages again in ``seconds`` at the latest."""
        self._queues.look_within(seconds)

    def look_now(self) -> None:
        """Look for messages in the next turn."""
        self._queues.look_now()
        if self._rate:
            self._rate.look_now()

    @property
    def is_down(self) -> bool:
        """Whether the circuit is open, so that nothing but a probe may be claimed."""
        return self._breaker.is_open

    def found(self, queue: str, own: int, *, of: int) -> None:
        """Note how many messages of a claim ``of`` that number from a shared queue belong to this route."""
        self._queues.found(queue, own)
        if self._rate:
            self._rate.unused(of - own)

    def permitted(self, queue: str, count: int) -> int:
        """How many of ``count`` messages of ``queue``, which another route has claimed, the rate allows now."""
        return self._rate.permitted(queue, count) if self._rate else count

    def taken_over(self, count: int) -> None:
        """Note that messages were taken over."""
        if self._rate:
            self._rate.used(count)

    def should_give_back(self) -> bool:
        """Whether the circuit has just opened or a queue was just paused: nothing more should start."""
        if self._rate:
            self._rate.step()
        return self._breaker.has_opened() | self._pausing.step()

    def take(self, room: int, room_bytes: int) -> Iterator[Sequence[Claim]]:
        """Claim up to ``room`` messages of ``room_bytes`` in all; with an open circuit at most one, as a probe."""
        is_open = self._breaker.is_open
        if room <= 0 or room_bytes <= 0 or (is_open and not self._may_probe()):
            return
        if not self._gate.is_open or not self._queues.due():
            return
        room = 1 if is_open else room
        most = self._limits.batch if self._limits.is_batch else room
        for claims in self._queues.take(room, most=most, most_bytes=room_bytes):
            self._pausing.lent(claims[0].message.queue)
            yield claims
        if self._rate and (at := self._rate.waits_until) not in (None, self._rate_at):
            self._rate_at = at
            self._queues.look_at(at)

    def end(self) -> None:
        """Give back what only further claims would need."""
        if self._rate:
            self._rate.close()

    def begin_probe(self, claim: Claim) -> None:
        """Note that ``claim`` is about to be handled: with an open circuit it is the probe."""
        if self._breaker.is_open:
            self._breaker.begin_probe(claim.message)

    def not_tried(self, claims: Sequence[Claim]) -> None:
        """Note that messages go back without an attempt, so that they say nothing about the target."""
        for claim in claims:
            self._breaker.inconclusive(claim.message)

    def _may_probe(self) -> bool:
        if not self._breaker.may_probe:
            return False
        if self._probe_at != self._breaker.probe_at:
            self._probe_at = self._breaker.probe_at
            self._queues.look_within(0)
        return True
