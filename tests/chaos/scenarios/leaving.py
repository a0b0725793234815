"""Leaving a broker, and removing a filter, while network and store stand still, break and are slow in mid-backlog."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from signal import Signals

from chaos.checker import check_file, missing, numbers
from chaos.hoarder import Hoarder
from chaos.network import Network
from chaos.plan import Plan
from chaos.publisher import Publisher
from chaos.rig import FILTER, SUBSCRIBED, Rig, end, topics
from chaos.scenario import START_SECONDS, Control, Result, Scenario, Setting, side_by_side, timed
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
_FAULTS = ("stall", "cut", "cut within a packet", "slow store", "failing store", "SIGTERM", "SIGKILL")
_BROKEN = "takes 3 s of silence for the end of a backlog"
_DEADLINE = 90.0


class _Way:
    """One departure: a listener whose backlog waits at a broker behind ``network``, and what breaks in the middle of it."""

    def __init__(
        self, rig: Rig, network: Network, how: str, chance: random.Random, *, version: str, broken: str | None = None
    ) -> None:
        self._rig = rig
        self._network = network
        self._how = how
        self._orders = rig.folder / "orders"
        self._plan = Plan(disk=str(self._orders), broken=broken)
        self._settings = {
            "FMQ_MQTT_VERSION": version,
            "FMQ_INFLIGHT": 100,
            "FMQ_KEEPALIVE_SECONDS": chance.choice((2, 10)),  # a connection that stalls is given up, or goes on
        }
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

    def strike(self, process: FmqProcess, fault: str, chance: float, had: int) -> None:
        """Let ``fault`` happen once ``had`` messages are stored."""
        wait_for(lambda: self._rig.stored() >= had, _DEADLINE, what="the middle of the backlog")
        match fault:
            case "stall":
                self._network.stalled = True
                time.sleep(_STALL_SECONDS)  # the fault itself lasts
            case "cut":
                self._network.cut()
            case "cut within a packet":
                self._network.cut_within(int(10 + chance * 5_000))
            case "SIGTERM" | "SIGKILL":
                process.signal(Signals[fault])
            case _:
                self._orders.write_text(fault.partition(" ")[0], encoding="ascii")
                time.sleep(_SLOW_SECONDS)
                self._orders.write_text("good", encoding="ascii")
        if fault != "cut within a packet":
            self._network.heal()

    def departed(self, part: Result, process: FmqProcess, fault: str) -> bool:
        """Wait until it has left, or removed the filter; False if it ended before, with the session kept."""
        removed = f"Unsubscribed from {FILTER}"
        wait_for(
            lambda: not process.running or (self._how != "leave" and process.said(removed)),
            _DEADLINE,
            what=f"the departure: {self._how} under {fault}",
        )
        if process.running or (self._how == "leave" and process.wait() == 0):
            return True
        right = -Signals.SIGKILL if fault == "SIGKILL" else 1 if self._how == "leave" else 0
        if process.wait() != right or fault not in ("SIGTERM", "SIGKILL"):
            part.faults.append(f"{self._how} under {fault}: exit code {process.wait()}: {process.text[-600:]}")
        return False


def _leaves(setting: Setting) -> Result:
    """Real brokers: each departure ends with everything stored, or before it with the rest for the next listener."""
    name = "leaving, and removing a filter, under stalls, cuts and a bad store"
    result = Result(name, what="departures", within=START_SECONDS)
    seed = setting.rng(result.scenario).random()
    ways = list(product(_FAULTS, _ENDS))[: setting.scaled(len(_FAULTS) * 2, least=4)]
    messages = setting.scaled(_MESSAGES, least=1_000)

    def depart(number: int) -> Result:
        fault, how = ways[number]
        part = Result(result.scenario, runs=1, within=START_SECONDS)
        chance = random.Random(f"{seed}/{number}")
        with Rig(setting.folder / str(number)) as rig, Network(rig.broker.port) as network:
            way = _Way(rig, network, how, chance, version=chance.choice(("5", "3.1.1")))
            way.subscribe()
            with Publisher(rig.broker.port, topics(), count=messages) as publisher:
                publisher.finish(_DEADLINE)
            processor = rig.processor(Plan(journal=str(rig.journal)))
            process = way.go()
            way.strike(process, fault, chance.random(), chance.randrange(1, messages // 2))
            with timed(part):
                had = rig.stored()
                wait_for(
                    lambda: had < rig.stored() or had == messages or not process.running, _DEADLINE, what="intake again"
                )
            if not way.departed(part, process, fault):
                part.notes.append("ended before")
                process = rig.listener()
                process.wait_to_say(SUBSCRIBED, 60)
                wait_for(lambda: missing(rig.database, messages) == 0, _DEADLINE, what="the rest")
            if (lost := missing(rig.database, messages)) != 0:
                part.faults.append(f"{how} under {fault}: {lost} messages were not stored when it had ended")
            if process.running:
                end(part, process)
            rig.await_all(messages - lost, _DEADLINE)
            end(part, processor)
            rig.judge(part, messages)
        return part

    parts = side_by_side(depart, range(len(ways)))
    for part in parts:
        result.add(part)
    before = sum("ended before" in part.notes for part in parts)
    result.notes.append(f"{', '.join(_FAULTS)} in turn; {before} ended before, and the next listener got the rest")
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
    seed = setting.rng(result.scenario).random()
    faults = ("pause",) if broken else ("pause", "stall", "cut", "slow store")[: setting.scaled(4)]
    ways = list(product(faults, _ENDS))

    def depart(number: int) -> Result:
        fault, how = ways[number]
        part = Result(result.scenario, runs=1, messages=_FEW)
        chance = random.Random(f"{seed}/{number}")
        hoarder = Hoarder("chaos/1")
        with _hoarded(setting.folder / str(number), hoarder) as (rig, network):
            way = _Way(rig, network, how, chance, version="5", broken=broken)
            way.subscribe()
            hoarder.hold(_FEW, pause=_PAUSE_SECONDS if fault == "pause" else 0.0)
            processor = rig.processor(Plan(journal=str(rig.journal)))
            process = way.go()
            if fault != "pause":
                way.strike(process, fault, 0.0, chance.randrange(1, _FEW // 2))
            way.departed(part, process, fault)
            part.lost = _FEW - len(numbers(rig.database))
            if process.running:
                end(part, process)
            end(part, processor)
            part.faults += check_file(rig.database)
        return part

    for part in side_by_side(depart, range(len(ways))):
        result.add(part)
    return result


def _control(setting: Setting) -> Control:
    seen = _hoarders(setting, broken=_BROKEN)
    return Control(f"a listener that {_BROKEN}", f"{seen.lost} messages lost" if seen.lost else "")


SCENARIOS: Sequence[Scenario] = (_leaves, _hoarders, _control)
