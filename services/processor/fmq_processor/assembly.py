"""Puts a worker together from settings, a handler and a queue."""

import random

from fmq.backoff import Backoff
from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.handler import Handler
from fmq.health import Heartbeat
from fmq.metrics import ProcessorMetrics
from fmq.outcome import RetryPolicy
from fmq.queue import Queue
from fmq_processor.breaker import Breaker
from fmq_processor.circuit import CircuitReport
from fmq_processor.dead_letter_limit import DeadLetterLimit
from fmq_processor.gate import Gate
from fmq_processor.intake import Intake
from fmq_processor.judge import Judge
from fmq_processor.limits import Limits
from fmq_processor.pausing import Pausing
from fmq_processor.reading import reading
from fmq_processor.room import Room
from fmq_processor.runner import Runner, make_runner
from fmq_processor.settings import ProcessorSettings
from fmq_processor.settler import Settler
from fmq_processor.summary import Summary
from fmq_processor.worker import Worker


def make_worker(
    settings: ProcessorSettings,
    *,
    handler: Handler,
    queue: Queue,
    metrics: ProcessorMetrics,
    heartbeat: Heartbeat,
    clock: Clock = SYSTEM_CLOCK,
    rng: random.Random | None = None,
    circuit: CircuitReport | None = None,
) -> tuple[Worker, Runner]:
    """A worker, and the runner that it hands messages to; the runner is not started."""
    rng = rng or random.Random()
    decoder = settings.decoder
    most_bytes = max(1, settings.batch_bytes // (2 if decoder else 1))  # half for messages, half for values
    handler = reading(handler, decode=decoder, admitted=settings.admitted, room=Room(most_bytes))
    concurrency = settings.calls_at_once(is_async=handler.is_async, is_batch=handler.is_batch)
    runner = make_runner(handler, concurrency=concurrency, timeout=settings.handler_timeout)
    summary = Summary(clock=clock)
    gate = Gate(clock=clock, rng=rng, failures=metrics.store_failures)
    metrics.store_writable.set_function(lambda: gate.is_well)
    intake = Intake(
        queue=queue,
        gate=gate,
        clock=clock,
        wanted=settings.queues,
        sleep=settings.sleep,
        lease=settings.lease_seconds,
        ordered=settings.ordered,
        on_new=lambda name: metrics.start_at_zero([name]),
    )
    breaker = Breaker(
        failures=settings.circuit_failures,
        backoff=Backoff(settings.circuit_initial, settings.circuit_maximum),
        clock=clock,
        rng=rng,
        observer=circuit or CircuitReport(metrics),
    )
    limit = DeadLetterLimit(most=settings.dead_letter_limit, share=settings.dead_letter_share, clock=clock)
    pausing = Pausing(
        queue=queue,
        gate=gate,
        limit=limit,
        clock=clock,
        metrics=metrics,
        served=lambda: intake.served,
        resume_after=settings.dead_letter_resume_seconds,
    )
    settler = Settler(
        queue=queue,
        gate=gate,
        judge=Judge(
            clock=clock,
            expiry=settings.expiry,
            policy=RetryPolicy(settings.max_retries, Backoff(settings.backoff_initial, settings.backoff_maximum)),
            rng=rng,
            breaker=breaker,
            limit=limit,
            on_too_many=pausing.want,
        ),
        limit=limit,
        metrics=metrics,
        summary=summary,
        clock=clock,
        on_delay=intake.look_within,
    )
    limits = Limits(
        batch=settings.batch,
        concurrency=concurrency,
        most_bytes=most_bytes,
        is_batch=handler.is_batch,
        lease=settings.lease_seconds,
        timeout=settings.handler_timeout,
        grace=settings.grace_for_handlers,
        ordered=settings.ordered,
    )
    worker = Worker(
        queue=queue,
        runner=runner,
        intake=intake,
        settler=settler,
        gate=gate,
        breaker=breaker,
        pausing=pausing,
        limits=limits,
        metrics=metrics,
        summary=summary,
        heartbeat=heartbeat,
        clock=clock,
    )
    return worker, runner
