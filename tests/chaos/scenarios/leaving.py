"""Leaving a broker, and removing a filter, while network and store stand still, break and are slow in mid-backlog."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from chaos.checker import check_file, missing, numbers
from chaos.hoarder import Hoarder
from chaos.network import Network
from chaos.plan import Plan
from chaos.publisher import Publisher
from chaos.rig import FILTER, SUBSCRIBED, Rig, end, topics
from chaos.scenario import Control, Result, Scenario, Setting, side_by_side
from support.firehose import Firehose
from support.processes import FmqProcess
from support.wait import wait_for

_MESSAGES = 3_000
_FEW = 400
_STALL_SECONDS = 5.0
_PAUSE_SECONDS = 4.0
"""Less than NATS takes to deliver again (ack_wait, set to 5 s)."""
_SLOW_SECONDS = 1.0
_KEPT = "kept"
_ENDS = ("leave", "removed filter")
_FAULTS = ("stall", "cut", "cut within a packet", "slow store", "failing store")
_BROKEN = "takes 3 s of silence for the end of a backlog"
_DEADLINE = 90.0


class _Way:
    """One departure: a listener whose backlog waits at a broker behind ``network``, and what breaks in the middle of it."""

    def __init__(self, rig: Rig, network: Network, how: str, *, version: str = "5", broken: str | None = None) -> None:
        self._rig = rig
        self._network = network
        self._how = how
        self._orders = rig.folder / "orders"
        self._plan = Plan(disk=str(self._orders), broken=broken)
        self._settings = {"FMQ_MQTT_VERSION": version, "FMQ_INFLIGHT": 100, "FMQ_KEEPALIVE_SECONDS": 10}
        rig.url = network.url
        self._orders.write_text("good", encoding="ascii")

    def subscribe(self) -> None:
        """Make the session, and the note of what it holds."""
        listener = self._rig.listener(None, FILTER, _KEPT, **self._settings)
        listener.wait_to_say(SUBSCRIBED, 60)
        assert listener.terminate() == 0

    def go(self) -> FmqProcess:
        """Start the listener that takes leave of all or of one filter."""
        filters = (FILTER, _KEPT, "--leave") if self._how == "leave" else (_KEPT,)
        return self._rig.listener(self._plan, *filters, **self._settings)

    def strike(self, fault: str, chance: float, had: int) -> None:
        """Let ``fault`` happen once ``had`` messages are stored."""
        wait_for(lambda: self._stored() >= had, _DEADLINE, what="the middle of the backlog")
        match fault:
            case "stall":
                self._network.stalled = True
                time.sleep(_STALL_SECONDS)  # the fault itself lasts
            case "cut":
                self._network.cut()
            case "cut within a packet":
                self._network.cut_within(int(10 + chance * 5_000))
            case _:
                self._orders.write_text(fault.partition(" ")[0], encoding="ascii")
                time.sleep(_SLOW_SECONDS)
                self._orders.write_text("good", encoding="ascii")
        if fault != "cut within a packet":
            self._network.heal()

    def departed(self, process: FmqProcess) -> bool:
        """Wait until it has left, or removed the filter; False if it said that it was in doubt."""
        if self._how == "leave":
            return process.wait(_DEADLINE) == 0
        process.wait_to_say(f"Unsubscribed from {FILTER}", _DEADLINE)
        return True

    def _stored(self) -> int:
        return self._rig.stored()


def _leaves(setting: Setting) -> Result:
    """Real brokers: each departure ends with everything stored, or with exit 1 and the rest for the next listener."""
    result = Result("leaving, and removing a filter, under stalls, cuts and a bad store", what="departures")
    rng = setting.rng(result.scenario)
    ways = list(product(_FAULTS, _ENDS))[: setting.scaled(10, least=4)]
    messages = setting.scaled(_MESSAGES, least=1_000)

    def depart(number: int) -> Result:
        fault, how = ways[number]
        part = Result(result.scenario, runs=1)
        chance = random.Random(seeds[number])
        with Rig(setting.folder / str(number)) as rig, Network(rig.broker.port) as network:
            way = _Way(rig, network, how, version=chance.choice(("5", "3.1.1")))
            way.subscribe()
            with Publisher(rig.broker.port, topics(), count=messages) as publisher:
                publisher.finish(_DEADLINE)
            processor = rig.processor(Plan(journal=str(rig.journal)))
            process = way.go()
            way.strike(fault, chance.random(), chance.randrange(1, messages // 2))
            if not way.departed(process):
                part.notes.append("in doubt")
                process = rig.listener()
                wait_for(lambda: missing(rig.database, messages) == 0, _DEADLINE, what="the rest after a doubt")
            if (lost := missing(rig.database, messages)) != 0:
                part.faults.append(f"{how} under {fault}: {lost} messages were not stored when it had ended")
            if process.running:
                end(part, process)
            rig.await_all(messages - lost, _DEADLINE)
            end(part, processor)
            rig.judge(part, messages)
        return part

    seeds = [rng.random() for _ in ways]
    parts = side_by_side(depart, range(len(ways)))
    for part in parts:
        result.add(part)
    doubts = sum("in doubt" in part.notes for part in parts)
    result.notes.append(f"{', '.join(_FAULTS)} in turn; {doubts} ended in doubt, with the session kept")
    return result


@contextmanager
def _hoarded(folder: Path, hoarder: Hoarder) -> Iterator[tuple[Rig, Network]]:
    with (
        Firehose(hoarder, connack=b"\x20\x03\1\0\0", needs_subscription=False) as broker,
        Network(broker.port) as network,
        Rig(folder) as rig,
    ):
        yield rig, network
        assert not broker.errors, broker.errors


def _hoarders(setting: Setting, *, broken: str | None = None) -> Result:
    """A broker that drops at UNSUBSCRIBE what it has buffered: the subscription stays until all of it is stored."""
    result = Result("leaving, and removing a filter, where UNSUBSCRIBE drops what waits", what="departures")
    rng = setting.rng(result.scenario)
    faults = ("pause",) if broken else ("pause", "stall", "cut", "slow store")[: setting.scaled(4)]
    ways = list(product(faults, _ENDS))

    def depart(number: int) -> Result:
        fault, how = ways[number]
        part = Result(result.scenario, runs=1, messages=_FEW)
        hoarder = Hoarder("chaos/1")
        with _hoarded(setting.folder / str(number), hoarder) as (rig, network):
            way = _Way(rig, network, how, broken=broken)
            way.subscribe()
            hoarder.hold(_FEW, pause=_PAUSE_SECONDS if fault == "pause" else 0.0)
            processor = rig.processor(Plan(journal=str(rig.journal)))
            process = way.go()
            if fault != "pause":
                way.strike(fault, 0.0, places[number])
            if not way.departed(process):
                part.faults.append(f"{how} under {fault}: {process.text[-600:]}")
            part.lost = _FEW - len(numbers(rig.database))
            if process.running:
                end(part, process)
            end(part, processor)
            part.faults += check_file(rig.database)
        return part

    places = [rng.randrange(1, _FEW // 2) for _ in ways]
    for part in side_by_side(depart, range(len(ways))):
        result.add(part)
    return result


def _control(setting: Setting) -> Control:
    seen = _hoarders(setting, broken=_BROKEN)
    return Control(f"a listener that {_BROKEN}", f"{seen.lost} messages lost" if seen.lost else "")


SCENARIOS: Sequence[Scenario] = (_leaves, _hoarders, _control)
