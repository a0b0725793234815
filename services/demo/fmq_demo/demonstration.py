"""The demonstration from the first process to the verdict."""

import random
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from fmq.service.broker.settings import BrokerSettings
from fmq.service.lifecycle import Shutdown
from fmq.store.backends import open_store
from fmq.store.options import Durability, StoreOptions
from fmq_demo.broker import Broker, Kind, provide_broker
from fmq_demo.client import BrokerUnreachable, require_broker
from fmq_demo.figures import Patience, Snapshot, most_dead, rates, shortfalls
from fmq_demo.guide import Places, next_steps, whereabouts
from fmq_demo.meter import Meter
from fmq_demo.processes import Crew
from fmq_demo.publisher import Publisher
from fmq_demo.readings import Sensors
from fmq_demo.screen import Screen, figures_table, make_screen, say
from fmq_demo.services import start_services

_PUBACK_SECONDS = 15.0
_DRAIN_SECONDS = 30.0
"""How long the queue may stand still, with messages left in it, before the demo gives it up."""
_LOOK_SECONDS = 0.1
_WELL = "Nothing was lost: every published message was stored, and every stored one is done or a dead letter."


@dataclass(frozen=True, slots=True)
class Plan:
    """What to show. ``seconds`` is how long to publish; None is until the user stops it."""

    kind: Kind
    rate: float
    seconds: float | None
    folder: Path


def demonstrate(plan: Plan, settings: BrokerSettings, console: Console, stop: Shutdown) -> bool:
    """Start everything, publish, wait for the rest to be processed, and end everything.

    Returns whether nothing was lost. Raises ProcessDied if one of the processes ends before its time, and Stopped if
    the user stops the demo before it has begun.
    """
    run = secrets.token_hex(4)
    client_id = f"fmq-demo-{run}"
    places = Places(plan.folder)
    places.logs.mkdir()
    with Crew(places.logs) as crew:
        broker = provide_broker(plan.kind, settings, crew, plan.folder, stop=lambda: stop.requested)
        # On a broker that others use, nobody else's messages may be counted.
        sensors = Sensors("sensors" if broker.own else client_id, random.Random())
        services = start_services(
            crew, broker, sensors.filters, queue_url=places.queue_url, client_id=client_id, stop=lambda: stop.requested
        )
        say(console, whereabouts(broker.name, broker.address, services, places, sensors.filters))
        options = StoreOptions(durability=Durability.NORMAL, check_integrity=False)
        publisher = Publisher(broker.settings, sensors, rate=plan.rate)
        with open_store(places.queue_url, options) as queue, publisher, make_screen(console) as screen:
            ports = [port for _, port in services.processors]
            begun = time.monotonic()
            watch = _Watch(Meter(queue, sensors.filters, publisher.published, ports), screen, crew)
            watch.look(stop, lambda now: plan.seconds is not None and now.at - begun >= plan.seconds)
            publisher.stop(patience=_PUBACK_SECONDS)
            ended = time.monotonic()
            hurry = Shutdown()  # a second Ctrl-C does not wait for the rest
            hurry.install()
            snapshot = watch.look(hurry, Patience(_DRAIN_SECONDS).is_over)
        codes = crew.end()
    _leave(broker, client_id)
    console.print(figures_table(snapshot))
    say(
        console, f"Published for {ended - begun:.1f} s; the last message was settled {snapshot.at - ended:.1f} s later."
    )
    found = shortfalls(snapshot.queues, refused=publisher.refused, unanswered=publisher.unanswered)
    found += [f"{name} ended with {codes[name]}" for name in services.names if codes[name] != 0]
    for one in found:
        say(console, f"NOT RIGHT: {one}")
    if not found:
        say(console, _WELL)
    say(console, next_steps(places, most_dead(snapshot)))
    return not found


class _Watch:
    """Looks at the figures, and at whether everything still runs."""

    def __init__(self, meter: Meter, screen: Screen, crew: Crew) -> None:
        self._meter = meter
        self._screen = screen
        self._crew = crew
        self._begun = time.monotonic()
        self._shown = meter.read()

    def look(self, stop: Shutdown, over: Callable[[Snapshot], bool]) -> Snapshot:
        """Show the figures until they say that it is over, or the user does; returns the last ones."""
        while True:
            snapshot = self._meter.read()
            if snapshot.at - self._shown.at >= self._screen.every:
                self._screen.show(snapshot, rates(self._shown, snapshot), elapsed=snapshot.at - self._begun)
                self._shown = snapshot
            if over(snapshot):
                return snapshot
            self._crew.require_running()
            if stop.wait(_LOOK_SECONDS):
                return snapshot


def _leave(broker: Broker, client_id: str) -> None:
    """Leave nothing of ours on a broker that others use."""
    if not broker.own:
        with suppress(BrokerUnreachable):
            require_broker(broker.settings, client_id=client_id)
