"""The worker of one route: claims, hands out, collects and settles, all from the supervisor's thread."""

import asyncio
import logging
from collections.abc import Sequence

from fmq.clock import Clock
from fmq.message import Claim
from fmq.outcome import Cause, GiveBack, Retry
from fmq_processor.engine.accounting import Accounting
from fmq_processor.engine.claiming import Claiming
from fmq_processor.engine.in_hand import InHand
from fmq_processor.engine.leases import Leases
from fmq_processor.engine.limits import Limits
from fmq_processor.engine.settling import Settling
from fmq_processor.job import Finished, Job
from fmq_processor.routing.exchange import Exchange
from fmq_processor.routing.suspects import DELAY_SECONDS, Suspects
from fmq_processor.runners.protocol import Runner, Trouble

_log = logging.getLogger(__name__)
_IDLE_TICK = 0.05
"""Seconds. Where the store has an alarm, messages end the wait."""
_SHORTEST_TICK = 0.01
"""Seconds until the next look if one is due, so that a rate limit is kept finely."""
_BUSY_TICK = 0.02


class Worker:
    """Moves messages from the store to a runner and back. Every method returns after a few milliseconds."""

    def __init__(
        self,
        *,
        claiming: Claiming,
        in_hand: InHand,
        leases: Leases,
        runner: Runner,
        settling: Settling,
        accounting: Accounting,
        limits: Limits,
        clock: Clock,
        exchange: Exchange,
        number: int = 0,
    ) -> None:
        """``number`` is that of the worker's route in ``exchange``."""
        self._claiming = claiming
        self._in_hand = in_hand
        self._leases = leases
        self.runner = runner
        """May be replaced while nothing is in hand."""
        self._settling = settling
        self._accounting = accounting
        self._limits = limits
        self._clock = clock
        self._exchange = exchange
        self._number = number
        self._has_claimed = False
        self._suspects = Suspects(exchange, number, clock)

    @property
    def holds(self) -> int:
        """Messages that are claimed and not settled."""
        return self._in_hand.messages

    @property
    def claiming(self) -> Claiming:
        """Where its messages come from."""
        return self._claiming

    @property
    def can_claim(self) -> bool:
        """Whether there is room for messages that become available."""
        return not self._is_full and self._in_hand.messages < self._limits.capacity

    @property
    def tick(self) -> float:
        """The longest wait until the next step, in seconds. 0: go on at once."""
        if (self._settling and self._claiming.store_is_open) or (self._has_claimed and not self._is_full):
            return 0.0
        return _BUSY_TICK if self._in_hand else min(max(_SHORTEST_TICK, self._claiming.due_in), _IDLE_TICK)

    def step(self) -> None:
        """Do everything once."""
        self._collect()
        if self._claiming.should_give_back():
            self._give_back_unstarted()
        self._settle()
        self._leases.extend_if_due(self._drop_lost)
        self._claim()
        self._accounting.summary.log_if_due()

    def take_over(self, claims: Sequence[Claim]) -> int:
        """See Taker. Takes up to twice the capacity, so that two busy routes seldom set messages aside for each other.

        Not with a rate limit: messages that wait behind a slow call would begin too fast after it.
        """
        if self._in_hand.suspect or self._claiming.is_down:
            return 0
        left = self._limits.most_bytes - self._in_hand.bytes
        count = 0
        most = min(len(claims), self._room(0 if self._claiming.rate_note else self._limits.capacity))
        for claim in claims[: self._claiming.permitted(claims[0].message.queue, most)]:
            if left <= 0:
                break
            left -= claim.message.held_bytes
            count += 1
        if count:
            self._claiming.taken_over(count)
            self._hand_out(claims[:count])
        return count

    @property
    def suspect_began(self) -> float | None:
        """See Taker."""
        return self._in_hand.suspect_began

    def make_way(self) -> None:
        """See Taker."""
        self._collect()
        if suspect := self._in_hand.waiting_suspect():
            self._in_hand.drop(suspect)
            self._postpone(suspect.claims)
        self._settle()

    def look_now(self) -> None:
        """See Taker."""
        self._claiming.look_now()

    def begin_drain(self) -> None:
        """Give back what has not started. Claim nothing more: only ``drain_step`` follows, and ``end_drain``."""
        given_back = self._give_back_unstarted()
        if given_back:
            _log.info("Giving back %d messages that have not started", given_back)

    def drain_step(self) -> bool:
        """Settle what has ended. Returns whether anything is left."""
        self._collect()
        self._settle()
        self._leases.extend_if_due(self._drop_lost)
        return bool(self._in_hand or self._settling)

    def end_drain(self) -> int:
        """Leave the calls that still run. Returns how many messages could not be settled."""
        for job in self._in_hand:
            self._in_hand.drop(job)
            self.runner.abandon(job)
            self._settling.interrupted(job)
        self._claiming.reopen_store()
        self._settle()
        self._claiming.end()
        self._accounting.summary.log()
        return len(self._settling)

    def leave_stuck(self, trouble: Trouble) -> None:
        """Let go of all calls that can't end: the culprit's attempt counts, the others were never tried.

        Without a known culprit they are left to their leases. Afterwards each message comes alone.
        """
        for job in self.runner.running():
            if job not in self._in_hand:
                continue
            self._in_hand.drop(job)
            if job is trouble.culprit:
                self._settling.timed_out(job, Retry(reason=trouble.reason, cause=Cause.TIMEOUT))
                continue
            self._claiming.not_tried(job.claims)
            if trouble.culprit is not None:
                self._settling.give_back(job.claims)
            else:
                self._in_hand.gone(len(job.claims))

    def _collect(self) -> None:
        """Take what has finished, and what has timed out."""
        finished = self.runner.finished
        if finished:
            ended = [finished.popleft() for _ in range(len(finished))]
            in_time = [one for one in ended if self._in_hand.drop(one.job) or self._dropped(one)]
            self._accounting.ended(in_time)
            self._settling.finished(in_time)
        if self._limits.timeout and self._in_hand:
            self._time_out()

    def _dropped(self, late: Finished) -> bool:
        """Log that the result of a call has no effect. Returns False."""
        if not issubclass(type(late.result), asyncio.CancelledError):
            number = late.job.claims[0].message.id
            _log.info("Dropped the result of a call that ended after its timeout: message %d", number)
        return False

    def _time_out(self) -> None:
        now = self._clock.steady()
        now -= self.runner.stalled(now)  # a call's time does not run while another call holds it up
        for job in self.runner.running():
            if job not in self._in_hand:
                continue
            if job.seen_at is None:
                job.seen_at = now
            elif now - job.seen_at >= self._limits.timeout:
                self._in_hand.drop(job)
                self.runner.abandon(job)
                reason = f"timed out after {self._limits.timeout:g} s"
                self._settling.timed_out(job, Retry(reason=reason, cause=Cause.TIMEOUT))

    def _settle(self) -> None:
        if self._settling and self._settling.commit() and self._limits.ordered:
            self._claiming.look_within(0)  # the next message of a topic is due as soon as the one before it is settled

    @property
    def _is_full(self) -> bool:
        """Whether more jobs would only wait for others to end."""
        return len(self._in_hand) >= self._limits.concurrency if self._limits.is_batch else self.runner.waiting() > 0

    def _claim(self) -> None:
        self._has_claimed = False
        if self._in_hand.suspect:
            self._start_suspect()
            return
        if self._is_full or self._suspects.must_step_back():
            return
        room = self._limits.capacity - self._in_hand.messages
        for claims in self._claiming.take(room, self._limits.most_bytes - self._in_hand.bytes):
            self._has_claimed = self._limits.is_batch  # one claim of others is enough for all calls
            if self._exchange.is_shared(claims[0].message.queue):
                self._hand_out_own(claims)
            else:
                self._hand_out(claims)

    def _hand_out_own(self, claims: Sequence[Claim]) -> None:
        """Hand out the messages of this route, up to the room for them, and set aside those for which no route has room."""
        queue = claims[0].message.queue
        found = self._exchange.sort(self._number, claims, self._room())
        self._claiming.found(queue, len(found.own), of=len(claims))
        for route, others in found.aside.items():
            self._in_hand.claimed(others)
            self._settling.set_aside(others, GiveBack(self._exchange.delay(route, len(others)), route))
        if found.own:
            self._hand_out(found.own)

    def _room(self, more: int = 0) -> int:
        """The number of messages that one claim may have, with ``more`` beyond the capacity."""
        room = 1 if self._claiming.is_down else self._limits.capacity + more - self._in_hand.messages
        return max(0, min(room, self._limits.batch) if self._limits.is_batch else room)

    def _start_suspect(self) -> None:
        """Start the suspect once nothing else is in hand."""
        suspect = self._in_hand.waiting_suspect()
        if suspect and len(self._in_hand) == 1 and not self._settling:
            self._in_hand.suspect_began = self._suspects.begin()
            self.runner.submit([suspect])

    def _postpone(self, claims: Sequence[Claim]) -> None:
        self._claiming.not_tried(claims)
        self._settling.postpone(claims, DELAY_SECONDS)

    def _hand_out(self, claims: Sequence[Claim]) -> None:
        self._in_hand.claimed(claims)
        usable = self._settling.without_settled(claims)
        if not usable:
            return
        if usable[0].suspect and self._suspects.refuse():
            self._postpone(usable)
            self._settle()
            return
        self._claiming.begin_probe(usable[0])
        if not self._in_hand:
            self._leases.begin()
        jobs = [Job(usable, is_batch=True)] if self._limits.is_batch else [Job((claim,)) for claim in usable]
        self._in_hand.add(jobs)
        if usable[0].suspect:
            self._in_hand.suspect = jobs[0]
        else:
            self.runner.submit(jobs)

    def _drop_lost(self, kept: set[tuple[str, int]]) -> None:
        """Don't start messages that other workers hold by now. Running calls go on; their settlements will be stale."""
        lost = 0
        for job in self._take_back():
            still = [claim for claim in job.claims if (claim.message.queue, claim.message.id) in kept]
            self._settling.give_back(still)
            self._in_hand.gone(len(job.claims) - len(still))
            lost += len(job.claims) - len(still)
        if lost:
            _log.warning("Leases ran out before their turn: left %d messages to other processors", lost)

    def _give_back_unstarted(self) -> int:
        """Returns the number of messages."""
        unstarted = self._take_back()
        for job in unstarted:
            self._settling.give_back(job.claims)
        return sum(len(job.claims) for job in unstarted)

    def _take_back(self) -> list[Job]:
        """Take the jobs that have not started from the runner and let go of them."""
        jobs = self.runner.recall()
        if suspect := self._in_hand.waiting_suspect():
            jobs.append(suspect)
        for job in jobs:
            self._in_hand.drop(job)
            self._claiming.not_tried(job.claims)
        return jobs
