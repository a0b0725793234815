"""Puts a worker together from settings, a handler and a store."""

import random

from fmq.backoff import Backoff
from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.handler import Handler
from fmq.outcome import RetryPolicy
from fmq.service.http.health import Heartbeat
from fmq.service.metrics import ProcessorMetrics
from fmq.service.reporting.commit_watch import CommitWatch
from fmq.store.roles import Store
from fmq_processor.engine.accounting import Accounting
from fmq_processor.engine.claiming import Claiming
from fmq_processor.engine.in_hand import InHand
from fmq_processor.engine.judge import Judge
from fmq_processor.engine.leases import Leases
from fmq_processor.engine.limits import Limits
from fmq_processor.engine.mistakes import Mistakes
from fmq_processor.engine.outbox import Outbox
from fmq_processor.engine.queues import Queues
from fmq_processor.engine.settling import Settling
from fmq_processor.engine.summary import Summary
from fmq_processor.engine.worker import Worker
from fmq_processor.guards.circuit_breaker import Breaker
from fmq_processor.guards.circuit_report import CircuitReport
from fmq_processor.guards.dead_letter_limit import DeadLetterLimit
from fmq_processor.guards.pausing import Pausing
from fmq_processor.guards.store_gate import Gate
from fmq_processor.prepare.decoding import make_decoder
from fmq_processor.prepare.memory import Room
from fmq_processor.prepare.reading import reading
from fmq_processor.runners.factory import make_runner
from fmq_processor.runners.protocol import Runner
from fmq_processor.settings import ProcessorSettings


def make_worker(
    settings: ProcessorSettings,
    *,
    handler: Handler,
    store: Store,
    metrics: ProcessorMetrics,
    heartbeat: Heartbeat,
    clock: Clock = SYSTEM_CLOCK,
    rng: random.Random | None = None,
    circuit: CircuitReport | None = None,
    commit: CommitWatch | None = None,
    name: str = "",
) -> tuple[Worker, Runner]:
    """A worker and its runner, which is not started. ``name`` is kept with failed attempts."""
    rng = rng or random.Random()
    decoder = settings.decoder or make_decoder(handler.implied_decode, most_bytes=settings.decode_bytes)
    most_bytes = max(1, settings.batch_bytes // (2 if decoder else 1))  # half for messages, half for values
    handler = reading(handler, decode=decoder, admitted=settings.admitted, room=Room(most_bytes))
    concurrency = settings.calls_at_once(is_async=handler.is_async, is_batch=handler.is_batch)
    runner = make_runner(handler, concurrency=concurrency, timeout=settings.handler_timeout)
    gate = Gate(clock=clock, rng=rng, failures=metrics.store_failures, commit=commit or CommitWatch(clock, heartbeat))
    metrics.store_writable.set_function(lambda: gate.is_well)
    queues = Queues(
        store=store,
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
        store=store,
        gate=gate,
        limit=limit,
        clock=clock,
        metrics=metrics,
        served=lambda: queues.served,
        resume_after=settings.dead_letter_resume_seconds,
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
    judge = Judge(
        expiry=settings.expiry,
        policy=RetryPolicy(settings.max_retries, Backoff(settings.backoff_initial, settings.backoff_maximum)),
        rng=rng,
        breaker=breaker,
        limit=limit,
        mistakes=Mistakes(settings.max_retries + 1, clock=clock),
        on_too_many=pausing.want,
    )
    in_hand = InHand(metrics.in_progress)
    accounting = Accounting(
        metrics, summary=Summary(clock=clock), limit=limit, clock=clock, on_delay=queues.look_within
    )
    worker = Worker(
        claiming=Claiming(queues=queues, gate=gate, breaker=breaker, pausing=pausing, limits=limits),
        in_hand=in_hand,
        leases=Leases(store, gate, in_hand, seconds=limits.lease, clock=clock),
        runner=runner,
        settling=Settling(judge=judge, outbox=Outbox(store, gate, worker=name), accounting=accounting, in_hand=in_hand),
        accounting=accounting,
        limits=limits,
        heartbeat=heartbeat,
        clock=clock,
    )
    return worker, runner
