"""The supervisor: claims, hands out, collects, settles. It alone talks to the queue, from one thread."""

import asyncio
import logging
from collections.abc import Sequence

from fmq.clock import Clock
from fmq.errors import WrongOrder
from fmq.health import Heartbeat
from fmq.lifecycle import Shutdown
from fmq.message import Claim
from fmq.metrics import ProcessorMetrics
from fmq.outcome import Cause, Retry
from fmq.queue import Queue
from fmq_processor.breaker import Breaker
from fmq_processor.gate import Gate
from fmq_processor.intake import Intake
from fmq_processor.job import Finished, Job
from fmq_processor.limits import Limits
from fmq_processor.observing import observe
from fmq_processor.pausing import Pausing
from fmq_processor.runner import Runner, Trouble
from fmq_processor.settler import Settler
from fmq_processor.summary import Summary

_log = logging.getLogger(__name__)
_IDLE_TICK = 0.01
_BUSY_TICK = 0.02


class Worker:
    """Lends messages from a queue to a runner until it is asked to stop."""

    def __init__(
        self,
        *,
        queue: Queue,
        runner: Runner,
        intake: Intake,
        settler: Settler,
        gate: Gate,
        breaker: Breaker,
        pausing: Pausing,
        limits: Limits,
        metrics: ProcessorMetrics,
        summary: Summary,
        heartbeat: Heartbeat,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._runner = runner
        self._intake = intake
        self._settler = settler
        self._gate = gate
        self._breaker = breaker
        self._pausing = pausing
        self._limits = limits
        self._metrics = metrics
        self._summary = summary
        self._heartbeat = heartbeat
        self._clock = clock
        self._held: set[Job] = set()
        self._messages_held = 0
        self._bytes_held = 0
        self._suspect: Job | None = None
        """Waits until nothing else is in hand, or runs alone."""
        self._suspect_runs = False
        self._extend_at = 0.0
        self._probe_at = 0.0

    @property
    def holds(self) -> int:
        """Messages claimed and not settled."""
        return self._messages_held + len(self._settler)

    def run(self, shutdown: Shutdown) -> str | None:
        """Work until the shutdown, then drain. Returns what was wrong, if the process has to be restarted.

        Raises StoreRefused, and WrongOrder if a queue is delivered in another way than this processor works.
        """
        trouble: Trouble | None = None
        try:
            while not shutdown.requested and trouble is None:
                self.turn()
                trouble = self._runner.trouble(self._clock.steady())
        except WrongOrder:
            self.drain()  # of other queues
            raise
        why = shutdown.failure
        if trouble:
            why = trouble.reason
            _log.error("The processor has to be restarted: %s", why)
            if trouble.is_stuck:
                self._part(trouble)
        left = self.drain()
        if left and not why:
            why = f"{left} messages could not be settled before the end, and come again"
            _log.error("%s", why)
        return why

    def _part(self, trouble: Trouble) -> None:
        """Let all go that can't end: the culprit's attempt counts, the others never had one.

        Without a known culprit they are left to their leases: after these, each comes alone.
        """
        for job in self._runner.running():
            if job not in self._held:
                continue
            self._drop(job)
            queue = job.claims[0].message.queue
            if job is trouble.culprit:
                self._metrics.timeouts.labels(queue).inc(len(job.claims))
                self._settler.judge(job, Retry(reason=trouble.reason, cause=Cause.TIMEOUT))
                continue
            for claim in job.claims:
                self._breaker.inconclusive(claim.message)
            if trouble.culprit is not None:
                self._settler.give_back(job.claims)
            else:
                self._metrics.in_progress.labels(queue).dec(len(job.claims))

    def turn(self) -> None:
        """One round of everything that the worker does; returns after a few milliseconds."""
        self._heartbeat.beat()
        self._collect()
        if self._breaker.has_opened() | self._pausing.step():
            self._give_back_unstarted()
        self._settle()
        self._keep_leases()
        self._claim()
        self._summary.tell_if_due()
        if not self._settler or not self._gate.is_open:
            self._runner.bell.wait(_BUSY_TICK if self._held else _IDLE_TICK)

    def drain(self) -> int:
        """Give back what has not started, wait for what runs, settle. Returns how many could not be settled."""
        end = self._clock.steady() + self._limits.grace
        given_back = self._give_back_unstarted()
        if given_back:
            _log.info("Giving back %d messages that have not started", given_back)
        while (self._held or self._settler) and self._clock.steady() < end:
            self._heartbeat.beat()
            self._collect()
            self._settle()
            self._keep_leases()
            if self._held or self._settler:
                self._runner.bell.wait(_BUSY_TICK)
        for job in tuple(self._held):
            self._drop(job)
            self._runner.abandon(job)
            self._settler.interrupt(job)
        self._gate.try_now()
        self._settle()
        self._summary.tell()
        return len(self._settler)

    def _collect(self) -> None:
        """Take in what has finished, and what has run out of its time."""
        finished = self._runner.finished
        if finished:
            ended = [finished.popleft() for _ in range(len(finished))]
            observe([one for one in ended if self._take_in(one)], self._metrics, self._clock)
        if self._limits.timeout and self._held:
            self._time_out()

    def _take_in(self, one: Finished) -> bool:
        job = one.job
        if job not in self._held:
            if not issubclass(type(one.result), asyncio.CancelledError):
                _log.info("A call ended after its time, its result is dropped: message %d", job.claims[0].message.id)
            return False
        self._drop(job)
        self._settler.judge(job, one.result)
        return True

    def _time_out(self) -> None:
        now = self._clock.steady()
        now -= self._runner.stalled(now)  # the time of a call does not run while another one holds it up
        for job in self._runner.running():
            if job not in self._held:
                continue
            if job.seen_at is None:
                job.seen_at = now
            elif now - job.seen_at >= self._limits.timeout:
                self._drop(job)
                self._runner.abandon(job)
                self._metrics.timeouts.labels(job.claims[0].message.queue).inc(len(job.claims))
                self._settler.judge(
                    job, Retry(reason=f"timed out after {self._limits.timeout:g} s", cause=Cause.TIMEOUT)
                )

    def _drop(self, job: Job) -> None:
        self._held.remove(job)
        self._messages_held -= len(job.claims)
        self._bytes_held -= job.size
        if job is self._suspect:
            self._suspect, self._suspect_runs = None, False

    def _settle(self) -> None:
        if self._settler and self._settler.flush() and self._limits.ordered:
            self._intake.look_within(0)  # the next one of a topic is due as soon as the one before it is settled

    def _claim(self) -> None:
        if self._suspect:
            if not self._suspect_runs and len(self._held) == 1 and not self._settler:
                self._suspect_runs = True
                self._runner.submit([self._suspect])
            return
        if self._breaker.is_open and not self._time_to_probe():
            return
        room = self._limits.capacity - self.holds
        if room <= 0 or self._runner.waiting() or not self._gate.is_open or not self._intake.due():
            return
        room_bytes = self._limits.most_bytes - self._bytes_held
        if room_bytes <= 0:
            return
        if self._breaker.is_open:
            room = 1
        most = self._limits.batch if self._limits.is_batch else room
        for claims in self._intake.take(room, most=most, most_bytes=room_bytes):
            self._hand_out(claims)

    def _time_to_probe(self) -> bool:
        if not self._breaker.may_probe:
            return False
        if self._probe_at != self._breaker.probe_at:
            self._probe_at = self._breaker.probe_at
            self._intake.look_within(0)
        return True

    def _hand_out(self, claims: Sequence[Claim]) -> None:
        self._metrics.in_progress.labels(claims[0].message.queue).inc(len(claims))
        self._pausing.lent(claims[0].message.queue)
        usable = [claim for claim in claims if not self._settler.refuse(claim)]
        if not usable:
            return
        if self._breaker.is_open:
            self._breaker.begin_probe(usable[0].message)
        if not self._held:
            self._extend_at = self._clock.steady() + self._limits.lease / 3
        jobs = [Job(usable, is_batch=True)] if self._limits.is_batch else [Job((claim,)) for claim in usable]
        self._held.update(jobs)
        self._messages_held += len(usable)
        self._bytes_held += sum(job.size for job in jobs)
        if usable[0].suspect:
            self._suspect = jobs[0]
        else:
            self._runner.submit(jobs)

    def _keep_leases(self) -> None:
        now = self._clock.steady()
        if not self._held or now < self._extend_at:
            return
        held = [claim for job in self._held for claim in job.claims]
        extended = self._gate.attempt(lambda: self._queue.extend(held, lease=self._limits.lease))
        if extended is None:
            return
        self._extend_at = now + self._limits.lease / 3
        if len(extended) < len(held):
            self._let_go({(claim.message.queue, claim.message.id) for claim in extended})

    def _let_go(self, kept: set[tuple[str, int]]) -> None:
        """Don't start what has passed to another worker meanwhile. What runs goes on; its settlement will be stale."""
        lost = 0
        for job in self._take_back():
            still = [claim for claim in job.claims if (claim.message.queue, claim.message.id) in kept]
            self._settler.give_back(still)
            lost += len(job.claims) - len(still)
            self._metrics.in_progress.labels(job.claims[0].message.queue).dec(len(job.claims) - len(still))
        if lost:
            _log.warning("Leases ran out before their turn: %d messages are left to other processors", lost)

    def _give_back_unstarted(self) -> int:
        """Returns how many messages that were."""
        unstarted = self._take_back()
        for job in unstarted:
            self._settler.give_back(job.claims)
        return sum(len(job.claims) for job in unstarted)

    def _take_back(self) -> list[Job]:
        """What has not started, out of the runner's hands and this one's."""
        jobs = self._runner.recall()
        if self._suspect and not self._suspect_runs:
            jobs.append(self._suspect)
        for job in jobs:
            self._drop(job)
            for claim in job.claims:
                self._breaker.inconclusive(claim.message)
        return jobs
