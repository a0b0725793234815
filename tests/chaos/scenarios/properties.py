"""Hostile property sections of megabytes in a flood of small ones, at QoS 1 and 2, cut at every step of the flow."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.checker import check_file
from chaos.plan import Plan
from chaos.rig import Rig, end
from chaos.scenario import START_SECONDS, Control, Result, Scenario, Setting
from chaos.sections import KINDS
from support.counting import query
from support.memory import MIB, peak_bytes, shipped_limit
from support.processes import FmqProcess
from support.scripted_broker import PUBACK, PUBREC, PUBREL, SUBSCRIBE, Connection, ScriptedBroker, packet, publish
from support.wait import wait_for

_ROUNDS = 40
_SMALL = 150
_LARGEST = 16 * MIB
_STEPS = ("published", "half answered", "answered", "released", "half completed", "listener killed")
_DEADLINE = 240.0


@dataclass(slots=True)
class _Flow:
    """A message under way. ``received``: PUBREC has come, and PUBREL is due."""

    number: int
    qos: int
    section: bytes
    received: bool = False
    sent: bool = False

    def publish(self, packet_id: int) -> bytes:
        dup, self.sent = self.sent, True
        topic = f"chaos/{self.number}"  # not in the payload: where a section has no end there is none
        return publish(topic, b"x", packet_id=packet_id, qos=self.qos, section=self.section, dup=dup)


class _Sender:
    """A broker with one session, which sends ``rounds`` batches and cuts some. ``done`` once all of it is completed."""

    def __init__(
        self, rng: random.Random, rounds: int, database: Path, kill: Callable[[], None], *, qos: Sequence[int]
    ) -> None:
        self._rng = rng
        self._left = rounds
        self._database = database
        self._kill = kill
        self._qos = qos
        self._open: dict[int, _Flow] = {}
        self._last_ids: dict[str, int] = {}
        self._cut_at: float | None = None
        self._known = False
        self._seen: set[int] = set()
        self.messages = 0
        self.cuts: Counter[str] = Counter()
        self.slowest = 0.0
        self.faults: list[str] = []
        self.done = threading.Event()

    def __call__(self, connection: Connection) -> None:
        try:
            self._talk(connection)
        except TimeoutError:
            self.faults.append(f"the listener said nothing for 30 s, with {len(self._open)} messages open")
        except (EOFError, OSError):
            pass  # it was killed
        self._cut_at = time.monotonic()

    def _talk(self, connection: Connection) -> None:
        connection.accept(session_present=self._known)
        self._known = True
        connection.read_until(SUBSCRIBE)
        while self._open or self._left:
            if not self._open:
                self._begin()
            if not self._round(connection):
                return
        self.done.set()
        connection.serve()

    def _begin(self) -> None:
        """One large section among many small ones."""
        self._left -= 1
        sizes = [self._rng.randrange(1, 300) for _ in range(_SMALL)]
        sizes.insert(self._rng.randrange(_SMALL), round(MIB * (_LARGEST / MIB) ** self._rng.random()))
        for packet_id, size in enumerate(sizes, 1):
            section = self._rng.choice(KINDS)(self._rng, size)
            self._open[packet_id] = _Flow(self.messages, self._rng.choice(self._qos), section)
            self.messages += 1

    def _round(self, connection: Connection) -> bool:
        """Go on with everything that is open. False if the connection is cut on the way."""
        step = self._rng.choice(_STEPS) if self._rng.random() < 0.5 else ""
        open_ids = [one for one, flow in self._open.items() if not flow.received]
        connection.send(*(self._open[one].publish(one) for one in open_ids))
        if step == "published":
            return self._cut(step)
        if step == "listener killed":
            self._kill()
            return self._cut(step)
        for position, _ in enumerate(open_ids):
            if step == "half answered" and position > len(open_ids) // 2:
                return self._cut(step)
            self._take(connection)
        if step == "answered":
            return self._cut(step)
        due = [one for one, flow in self._open.items() if flow.received]
        connection.send(*(packet(PUBREL, one.to_bytes(2, "big")) for one in due))
        if step == "released":
            return self._cut(step)
        for position, _ in enumerate(due):
            if step == "half completed" and position > len(due) // 2:
                return self._cut(step)
            self._take(connection)
        return True

    def _cut(self, step: str) -> bool:
        self.cuts[step] += 1
        return False

    def _take(self, connection: Connection) -> None:
        """The next answer. What it acknowledges has to be stored by now."""
        ((kind, packet_id),) = connection.answers(1)
        if self._cut_at is not None:
            self.slowest = max(self.slowest, time.monotonic() - self._cut_at)
            self._cut_at = None
        flow = self._open.get(packet_id)
        if flow is None:
            self.faults.append(f"an answer {kind:#x} to {packet_id}, which is not open")
        elif kind in (PUBACK, PUBREC):
            if not self._is_stored(flow.number):
                self.faults.append(f"message {flow.number} was answered ({kind:#x}) and is not stored")
            flow.received = kind == PUBREC
        if flow is not None and kind != PUBREC:
            del self._open[packet_id]

    def _is_stored(self, number: int) -> bool:
        if number not in self._seen:
            self._seen.update(stored(self._database, self._last_ids))
        return number in self._seen


def stored(database: Path, after: dict[str, int]) -> list[int]:
    """The numbers of all rows behind those ids of their tables, in whatever queue; notes the last ids."""
    found = []
    for (table,) in query(database, "SELECT table_name FROM fmq_queue"):
        rows = query(database, f'SELECT id, topic FROM "{table}" WHERE id > ? ORDER BY id', after.get(table, 0))
        found += [int(topic.rpartition("/")[2]) for _, topic in rows]
        if rows:
            after[table] = rows[-1][0]
    return found


def _flood(setting: Setting, *, qos: Sequence[int] = (1, 2), broken: str | None = None) -> Result:
    result = Result(
        "hostile property sections of 1 to 16 MiB in a flood, QoS 2 cut at every step",
        what="cuts",
        within=START_SECONDS,
    )
    plan = Plan(broken=broken)
    listeners: list[FmqProcess] = []
    peaks: list[int] = []

    def kill() -> None:
        peaks.append(peak_bytes(listeners[-1].pid))
        listeners.append(rig.listener(plan))  # one always runs
        listeners[-2].kill()

    rounds = setting.scaled(_ROUNDS, least=6)
    with Rig(setting.folder) as rig:
        sender = _Sender(setting.rng(result.scenario), rounds, rig.database, kill, qos=qos)
        with ScriptedBroker(sender) as broker:
            rig.url = broker.url
            listeners.append(rig.listener(plan))
            wait_for(
                lambda: sender.done.is_set() or sender.faults or not listeners[-1].running,
                _DEADLINE,
                what="the end of the flood",
            )
            peaks.append(peak_bytes(listeners[-1].pid) if listeners[-1].running else 0)
            end(result, listeners[-1])
        result.faults += [*sender.faults[:5], *(f"the broker failed: {error!r}" for error in broker.errors)]
        if any("Traceback" in one.text for one in listeners):
            result.faults.append("a listener logged a traceback")
        found = stored(rig.database, {})
        result.lost = len(set(range(sender.messages)) - set(found))
        result.duplicated = len(found) - len(set(found))
        result.faults += check_file(rig.database)
    result.recovered(sender.slowest)
    result.messages, result.runs = sender.messages, sender.cuts.total()
    result.kills = sender.cuts["listener killed"]
    result.notes.append(", ".join(f"{step} {count}" for step, count in sorted(sender.cuts.items())))
    result.notes.append(f"most memory {max(peaks) / MIB:.0f} MiB")
    if max(peaks) > shipped_limit():
        result.faults.append(f"{max(peaks) / MIB:.0f} MiB are more than its container has")
    return result


def _control(setting: Setting) -> Control:
    seen = _flood(
        Setting(setting.folder, setting.seed, setting.scale / 5), qos=(2,), broken="acknowledges before it stores"
    )
    return Control("a listener that answers QoS 2 by PUBREC before the commit", "; ".join(seen.faults[:1]))


SCENARIOS: Sequence[Scenario] = (_flood, _control)
