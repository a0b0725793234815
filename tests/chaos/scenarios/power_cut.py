"""The power goes at a random moment: what was acknowledged is there afterwards, and the file is sound."""

import random
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from chaos.plan import Plan
from chaos.publisher import Publisher
from chaos.rig import SUBSCRIBED, Rig, quiet, topics
from chaos.scenario import START_SECONDS, Control, Result, Scenario, Setting, timed
from fmq.errors import StoreUnavailable
from fmq.message import Incoming
from fmq.outcome import Done
from fmq.store.backends import open_store
from fmq.store.options import Durability, Retention, StoreOptions
from fmq.store.roles import Store
from support.counting import counted, counters, query
from support.disk import installed
from support.power import PowerCutDisk, restore
from support.processes import FmqProcess
from support.wait import wait_for

_QUEUE = "dstdb"
_CUTS_PER_FILE = 25
_STORE_CUTS = 500
_LISTENER_CUTS = 40
_CUT_MESSAGES = 20
_BREATH = 0.03
_MANY = 10**9
_CALM = random.Random(0)
_DEADLINE = 120.0


@dataclass(slots=True)
class PowerCuts:
    """What became of a store whose power was cut repeatedly. ``faults`` says what must not be."""

    cuts: int = 0
    stored: int = 0
    lost: int = 0
    torn: int = 0
    slowest_recovery: float = 0.0
    faults: list[str] = field(default_factory=list)


class _Machine:
    """A listener, a processor and the upkeep, each with a connection, in one thread: one seed, one course of events."""

    def __init__(self, path: Path, rng: random.Random, durability: Durability) -> None:
        self._path = path
        self._rng = rng
        self._durability = durability
        self._next = 0
        self.stored: set[bytes] = set()
        self.handled: set[bytes] = set()
        self.under_way: list[bytes] = []
        """The batch whose commit has not returned: afterwards it is there whole or not at all."""

    def run(self, disk: PowerCutDisk) -> None:
        """Until the power goes. Nothing that was still under way then counts as stored."""
        with installed(disk), suppress(StoreUnavailable, apsw.IOError):  # the latter from closing
            while True:
                with ExitStack() as stack:
                    listener = self._open(stack, self._durability)
                    processor = self._open(stack, Durability.NORMAL)
                    upkeep = self._open(stack, Durability.NORMAL)
                    listener.declare(_QUEUE)
                    for _ in range(self._rng.randrange(60)):
                        self._step(listener, processor, upkeep)

    def _open(self, stack: ExitStack, durability: Durability) -> Store:
        queue = open_store(f"sqlite:///{self._path}", StoreOptions(durability, busy_seconds=0.1))
        stack.callback(_close, queue)
        return queue

    def _step(self, listener: Store, processor: Store, upkeep: Store) -> None:
        match self._rng.randrange(10):
            case 0 | 1 | 2 | 3 | 4 | 5:
                self.under_way = [self._payload() for _ in range(self._rng.randrange(1, 40))]
                listener.put([Incoming(_QUEUE, _QUEUE, payload, time.time()) for payload in self.under_way])
                self.stored.update(self.under_way)
                self.under_way = []
            case 6 | 7 | 8:
                claims = processor.claim(_QUEUE, self._rng.randrange(1, 40), lease=0.001)
                self.handled.update(claim.message.payload for claim in claims)
                processor.settle([(claim, Done()) for claim in claims])
            case _:
                upkeep.maintain(Retention(done_seconds=0.0))

    def _payload(self) -> bytes:
        self._next += 1
        return b"%d:" % self._next + bytes(self._rng.randrange(self._rng.choice((10, 200, 9_000))))


def _close(queue: Store) -> None:
    with suppress(StoreUnavailable, apsw.Error):
        queue.close()


def cut_power(folder: Path, rng: random.Random, *, durability: Durability, cuts: int) -> PowerCuts:
    """Run a machine and cut its power ``cuts`` times; it goes on each time with what the disk has kept."""
    found = PowerCuts()
    while found.cuts < cuts:
        path = folder / f"{durability}-{found.cuts}.db"
        machine = _Machine(path, rng, durability)
        for _ in range(min(_CUTS_PER_FILE, cuts - found.cuts)):
            disk = PowerCutDisk(rng, cut_after=int(10 ** rng.uniform(0, 3.7)))
            machine.run(disk)
            found.cuts += 1
            restore(disk.image())
            found.torn += disk.lost > 0
            _judge(found, machine, path)
        found.stored += len(machine.stored)
        path.unlink(missing_ok=True)
    return found


def _judge(found: PowerCuts, machine: _Machine, path: Path) -> None:
    began = time.monotonic()
    # Opening checks the file, and raises if it is damaged. On the same kind of disk, which need not wait for a real one.
    with installed(PowerCutDisk(_CALM, cut_after=_MANY)), open_store(f"sqlite:///{path}") as queue:
        queue.declare(_QUEUE)
        found.slowest_recovery = max(found.slowest_recovery, time.monotonic() - began)
        rows = [payload for (payload,) in query(path, "SELECT payload FROM msg_dstdb")]
        there = set(rows)
        lost = machine.stored - there - machine.handled
        found.lost += len(lost)
        machine.stored -= lost  # each counts once
        where = f"after cut {found.cuts}"
        if len(rows) != len(there):
            found.faults.append(f"{where}: {len(rows) - len(there)} messages are stored twice")
        if (part := len(there.intersection(machine.under_way))) not in (0, len(machine.under_way)):
            found.faults.append(f"{where}: {part} of {len(machine.under_way)} messages of a batch are there")
        if (state := query(path, "PRAGMA integrity_check")) != [("ok",)]:
            found.faults.append(f"{where}: {state}")
        if counted(path) != counters(path):
            found.faults.append(f"{where}: the counters say {counters(path)}, a count {counted(path)}")
        machine.stored |= there
        machine.under_way = []


def _store(setting: Setting) -> Result:
    result = Result("power cut, store with synchronous=FULL", what="cuts")
    found = cut_power(
        setting.folder, setting.rng("power"), durability=Durability.FULL, cuts=setting.scaled(_STORE_CUTS, least=20)
    )
    result.runs, result.messages, result.lost, result.faults = found.cuts, found.stored, found.lost, found.faults
    result.recovered(found.slowest_recovery)
    result.notes.append(f"{found.torn} of the cuts lost or tore something that was not synced")
    return result


def _store_control(setting: Setting) -> Control:
    cuts = setting.scaled(_STORE_CUTS // 5, least=20)
    found = cut_power(setting.folder, setting.rng("power"), durability=Durability.NORMAL, cuts=cuts)
    noticed = f"{found.lost} of {found.stored:,} messages lost in {found.cuts} power cuts" if found.lost else ""
    return Control("a store with synchronous=NORMAL", noticed)


def _listener(setting: Setting) -> Result:
    result = Result("power cut, real listener", what="cuts", within=START_SECONDS)
    result.runs = setting.scaled(_LISTENER_CUTS, least=3)
    _cut_listener(result, setting, "FULL")
    return result


def _listener_control(setting: Setting) -> Control:
    seen = Result("control", within=START_SECONDS, runs=setting.scaled(_LISTENER_CUTS // 4, least=3))
    _cut_listener(seen, setting, "NORMAL")
    noticed = f"{seen.lost} of {seen.messages:,} messages lost in {seen.runs} power cuts" if seen.lost else ""
    return Control("a listener with FMQ_SYNCHRONOUS=NORMAL whose power is cut", noticed)


def _cut_listener(result: Result, setting: Setting, synchronous: str) -> None:
    rng = setting.rng(f"listener {synchronous}")
    with Rig(setting.folder / f"listener-{synchronous}") as rig:
        rig.prepare()
        kept = rig.folder / "kept"
        kept.mkdir()
        with Publisher(rig.broker.port, topics(), count=_MANY, allowed=0) as publisher:
            for _ in range(result.runs):
                power = rng.randrange(10**9), int(10 ** rng.uniform(1, 2.4)), str(kept)
                listener = rig.listener(Plan(power=power), FMQ_SYNCHRONOUS=synchronous, FMQ_INFLIGHT=200)
                _feed(publisher, listener)
                if (code := listener.wait(1)) != -signal.SIGKILL:
                    result.faults.append(f"exit code {code}: {listener.text[-400:]}")
                restore({rig.folder / part.name: part.read_bytes() for part in kept.iterdir()})
            messages = publisher.allowed
            wait_for(lambda: publisher.acknowledged >= messages, _DEADLINE, what="the broker to take all messages")
            with timed(result):
                listener = rig.listener()
                listener.wait_to_say(SUBSCRIBED, 60)
            quiet(rig.stored, 1.0, _DEADLINE)
        if (code := listener.terminate()) != 0:
            result.faults.append(f"exit code {code} at the end: {listener.text[-400:]}")
        rig.judge(result, messages, handled=False)


def _feed(publisher: Publisher, listener: FmqProcess) -> None:
    """Let messages come bit by bit until the power goes.

    Not in a flood: the end of a process with data unread resets the connection, and PUBACKs on their way are lost with it.
    Here they are to arrive, so that only the disk can save what they promised.
    """
    end = time.monotonic() + _DEADLINE
    while listener.running and time.monotonic() < end:
        if SUBSCRIBED in listener.text:
            publisher.allowed += _CUT_MESSAGES
        time.sleep(_BREATH)


SCENARIOS: Sequence[Scenario] = (_store, _store_control, _listener, _listener_control)
"""Within one process, fast; then a real listener, whose machine loses power while a broker hands it messages."""
