"""Puts a processor together from its routes and a store."""

import random
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass

from fmq.backoff import Backoff
from fmq.clock import SYSTEM_CLOCK, Clock
from fmq.handler import Handler
from fmq.outcome import RetryPolicy
from fmq.service.http.health import Heartbeat
from fmq.service.metrics import ProcessorMetrics
from fmq.service.reporting.commit_watch import CommitWatch
from fmq.store.roles import Store
from fmq_processor.engine.accounting import Accounting
from fmq_processor.engine.changes import Changes
from fmq_processor.engine.claiming import Claiming
from fmq_processor.engine.in_hand import InHand
from fmq_processor.engine.judge import Judge
from fmq_processor.engine.lane import Lane, route_context
from fmq_processor.engine.leases import Leases
from fmq_processor.engine.limits import Limits
from fmq_processor.engine.mistakes import Mistakes
from fmq_processor.engine.outbox import Outbox
from fmq_processor.engine.queues import Queues
from fmq_processor.engine.settling import Settling
from fmq_processor.engine.summary import Summary
from fmq_processor.engine.supervisor import Supervisor
from fmq_processor.engine.worker import Worker
from fmq_processor.guards.circuit_breaker import Breaker
from fmq_processor.guards.circuit_report import CircuitReport
from fmq_processor.guards.dead_letter_limit import DeadLetterLimit
from fmq_processor.guards.pausing import Pausing
from fmq_processor.guards.rate_limit import Limit, RateLimit
from fmq_processor.guards.store_gate import Gate
from fmq_processor.prepare.decoding import Decode, make_decoder
from fmq_processor.prepare.memory import Room
from fmq_processor.prepare.reading import reading
from fmq_processor.routes import MAIN
from fmq_processor.routing.exchange import Exchange
from fmq_processor.routing.neighbours import Neighbours
from fmq_processor.routing.owners import Claimant, Owners
from fmq_processor.runners.factory import make_runner
from fmq_processor.runners.protocol import Bell, Runner
from fmq_processor.settings import ProcessorSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a route needs: the fields of Route, and its handler. ``again`` makes another one."""

    name: str
    settings: ProcessorSettings
    handler: Handler
    again: Callable[[], Handler]
    circuit: CircuitReport
    topics: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What the routes of a processor have in common. ``worker`` is kept with failed attempts."""

    store: Store
    gate: Gate
    changes: Changes
    bell: Bell
    metrics: ProcessorMetrics
    clock: Clock
    rng: random.Random
    exchange: Exchange
    neighbours: Neighbours
    lease: float
    """Of claims from shared queues, in seconds: enough for all routes."""
    worker: str


def make_supervisor(
    routes: Sequence[Served],
    *,
    store: Store,
    metrics: ProcessorMetrics,
    heartbeat: Heartbeat,
    clock: Clock = SYSTEM_CLOCK,
    rng: random.Random | None = None,
    commit: CommitWatch | None = None,
    name: str = "",
) -> Supervisor:
    """All routes of a processor, which are not started. ``name`` is kept with failed attempts."""
    rng = rng or random.Random()
    gate = Gate(clock=clock, rng=rng, failures=metrics.store_failures, commit=commit or CommitWatch(clock, heartbeat))
    metrics.store_writable.set_function(lambda: gate.is_well)
    bell = Bell(store.alarm())
    owners = Owners([Claimant(route.name, route.settings.queues, route.topics) for route in routes])
    neighbours = Neighbours(store=store, gate=gate, clock=clock, own=owners, name=name)
    exchange = Exchange(owners, clock, neighbours)
    shared = _Shared(
        store=store,
        gate=gate,
        changes=Changes(store),
        bell=bell,
        metrics=metrics,
        clock=clock,
        rng=rng,
        exchange=exchange,
        neighbours=neighbours,
        lease=max(route.settings.lease_seconds for route in routes),
        worker=name,
    )
    is_alone = len(routes) == 1
    lanes = [_make_lane(route, number, shared, is_alone=is_alone) for number, route in enumerate(routes)]
    exchange.takers = lanes
    grace = max(route.settings.grace_for_handlers for route in routes)
    return Supervisor(lanes, neighbours=neighbours, bell=bell, heartbeat=heartbeat, clock=clock, grace=grace)


def make_alone(
    settings: ProcessorSettings,
    *,
    handler: Handler,
    store: Store,
    metrics: ProcessorMetrics,
    heartbeat: Heartbeat,
    clock: Clock = SYSTEM_CLOCK,
    rng: random.Random | None = None,
) -> Supervisor:
    """A processor with one handler, for a caller who gives it its turns."""
    circuit = CircuitReport(metrics, MAIN)
    route = Served(name=MAIN, settings=settings, handler=handler, again=lambda: handler, circuit=circuit)
    return make_supervisor([route], store=store, metrics=metrics, heartbeat=heartbeat, clock=clock, rng=rng)


def _make_lane(route: Served, number: int, shared: _Shared, *, is_alone: bool) -> Lane:
    settings, clock, metrics = route.settings, shared.clock, shared.metrics
    metrics.start_route_at_zero(route.name)
    # One route is not named in log lines, and its process is restarted if its calls hang.
    context = copy_context() if is_alone else route_context(route.name)
    again = None if is_alone else lambda: _make_runner(settings, route.again(), shared.bell)
    handler, runner = context.run(_make_runner, settings, route.handler, shared.bell)
    worker = _make_worker(route, number, runner, shared)
    metrics.in_progress.labels(route.name).set_function(lambda: worker.holds)
    return Lane(
        route.name,
        worker=worker,
        handler=handler,
        clock=clock,
        rng=shared.rng,
        grace=settings.grace_for_handlers,
        context=context,
        again=again,
        on_replaced=metrics.route_replacements.labels(route.name).inc,
    )


def _decoder(settings: ProcessorSettings, handler: Handler) -> Decode | None:
    return settings.decoder or make_decoder(handler.implied_decode, most_bytes=settings.decode_bytes)


def _most_bytes(settings: ProcessorSettings, handler: Handler) -> int:
    return max(
        1, settings.batch_bytes // (2 if _decoder(settings, handler) else 1)
    )  # half for messages, half for values


def _make_runner(settings: ProcessorSettings, handler: Handler, bell: Bell) -> tuple[Handler, Runner]:
    """The handler with decoding and filter, and its runner, which is not started."""
    room = Room(_most_bytes(settings, handler))
    handler = reading(handler, decode=_decoder(settings, handler), admitted=settings.admitted, room=room)
    concurrency = settings.calls_at_once(is_async=handler.is_async, is_batch=handler.is_batch)
    return handler, make_runner(handler, concurrency=concurrency, timeout=settings.handler_timeout, bell=bell)


def _make_worker(route: Served, number: int, runner: Runner, shared: _Shared) -> Worker:
    settings, store, gate, metrics = route.settings, shared.store, shared.gate, shared.metrics
    clock, rng = shared.clock, shared.rng
    is_async, is_batch = route.handler.is_async, route.handler.is_batch
    rate: RateLimit | None = None
    batch = settings.batch
    if settings.per_second:
        most = Limit.of(settings.per_second, settings.rate_burst, batch=batch, is_batch=is_batch)
        batch = min(batch, most.burst if is_batch else most.block)
        rate = RateLimit(
            most,
            route=route.name,
            shown=settings.rate_limit,
            key=f"{route.name}, {settings.handler} for {','.join(settings.queues)}",
            store=store,
            gate=gate,
            clock=clock,
            metrics=metrics,
        )

    def on_new(name: str) -> None:
        metrics.start_at_zero([name])
        shared.neighbours.found(name)

    queues = Queues(
        store=store,
        claim=rate.claim if rate else None,
        gate=gate,
        clock=clock,
        changes=shared.changes,
        wanted=settings.queues,
        sleep=settings.sleep,
        lease=settings.lease_seconds,
        shared_lease=shared.lease,
        ordered=settings.ordered,
        on_new=on_new,
        route=route.name,
        is_shared=shared.exchange.is_shared,
    )
    breaker = Breaker(
        failures=settings.circuit_failures,
        backoff=Backoff(settings.circuit_initial, settings.circuit_maximum),
        clock=clock,
        rng=rng,
        observer=route.circuit,
    )
    limit = DeadLetterLimit(most=settings.dead_letter_limit, share=settings.dead_letter_share, clock=clock)
    pausing = Pausing(
        store=store,
        gate=gate,
        limit=limit,
        clock=clock,
        on_paused=metrics.dead_letter_pauses.labels(route.name).inc,
        served=lambda: queues.served,
        resume_after=settings.dead_letter_resume_seconds,
    )
    limits = Limits(
        batch=batch,
        concurrency=settings.calls_at_once(is_async=is_async, is_batch=is_batch),
        most_bytes=_most_bytes(settings, route.handler),
        is_batch=is_batch,
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
    in_hand = InHand()
    accounting = Accounting(
        metrics,
        route=route.name,
        summary=Summary(clock=clock),
        limit=limit,
        clock=clock,
        on_delay=queues.look_within,
        on_parked=shared.exchange.set_aside,
    )
    return Worker(
        claiming=Claiming(queues=queues, gate=gate, breaker=breaker, pausing=pausing, limits=limits, rate=rate),
        in_hand=in_hand,
        leases=Leases(store, gate, in_hand, seconds=limits.lease, clock=clock),
        runner=runner,
        settling=Settling(
            judge=judge,
            outbox=Outbox(store, gate, worker=shared.worker),
            accounting=accounting,
            in_hand=in_hand,
            on_not_handled=rate.unused if rate else None,
        ),
        accounting=accounting,
        limits=limits,
        clock=clock,
        exchange=shared.exchange,
        number=number,
    )
