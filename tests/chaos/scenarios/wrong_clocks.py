"""A wall clock that is wrong when messages come, by hours or years, and put right later, also over a reboot."""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from chaos.journal import read_journal
from chaos.plan import Plan
from chaos.publisher import Publisher
from chaos.rig import SUBSCRIBED, Rig, end, topics
from chaos.scenario import START_SECONDS, Result, Scenario, Setting, side_by_side
from fmq.message import Claim, Incoming, Properties, Terms
from fmq.outcome import Done
from fmq.store.backends import open_store
from fmq.store.options import Retention, StoreOptions
from fmq.store.roles import Store
from support.broker import publish
from support.clock import FakeClock
from support.wait import wait_for

_YEAR = 365 * 86_400.0
_WRONG = (-50 * _YEAR, -3 * _YEAR, -7_200.0, 3_600.0, 10 * _YEAR)
"""Nothing between a day and a month: the store takes that for a machine that stood still (docs/adr/0019)."""
_ROUNDS = 150
_DELAY, _KEPT, _LEASE = 3_600.0, 86_400.0, 60.0
_CHUNK = 1_000
_DELAY_SECONDS, _EXPIRY_SECONDS = 6, 2
_DELAYED, _EXPIRED, _LASTING = 1_000_000, 2_000_000, 3_000_000
_DEADLINE = 60.0


@dataclass(slots=True)
class _Machine:
    """A store on a machine whose clocks and power are moved by hand. Times are in seconds since the receipt."""

    path: str
    clock: FakeClock = field(default_factory=FakeClock)
    passed: float = 0.0
    off: float = 0.0
    """How much of that the machine was off, without knowing it."""

    @contextmanager
    def store(self) -> Iterator[Store]:
        with open_store(self.path, StoreOptions(check_integrity=False), clock=self.clock) as queue:
            queue.declare("q")
            yield queue

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.passed += seconds

    def reboot(self, rng: random.Random) -> float:
        """Be off for up to 20 minutes. Returns how wrong the wall clock is: 0, or by decades without a battery."""
        off = rng.uniform(0, 1_200)
        self.clock.reboot()
        self.passed += off
        self.clock.jump(off)
        if rng.random() < 0.5:
            return 0.0
        self.off += off
        self.clock.jump(-50 * _YEAR)
        return -50 * _YEAR


def _by_hand(setting: Setting) -> Result:
    """Delays and leases last as long as they should, ages are true, and retention deletes what it should, when it should."""
    result = Result("clock wrong at receipt, by hours or years, put right later, with reboots", what="rounds")
    rng = setting.rng(result.scenario)
    result.runs = result.messages = setting.scaled(_ROUNDS, least=20)
    reboots = 0
    for number in range(result.runs):
        machine = _Machine(f"sqlite:///{setting.folder}/{number}.db")
        reboots += _live(result, machine, rng)
    result.notes.append(f"{reboots} reboots, half of them on a machine without a battery")
    return result


def _live(result: Result, machine: _Machine, rng: random.Random) -> int:
    clock, wrong = machine.clock, rng.choice(_WRONG)
    made_wrong, reboots = rng.random() < 0.5, rng.randrange(2)
    clock.jump(wrong if made_wrong else 0.0)
    with machine.store() as queue:
        clock.jump(0.0 if made_wrong else wrong)
        queue.put([Incoming("q", "done", b"", clock.wall())])
        _settle(queue, _claim(queue))
        late = Incoming("q", "late", b"", clock.wall(), properties=Properties(message_expiry_interval=86_400))
        queue.put([late], terms={0: Terms(delay=_DELAY)})
        machine.advance(rng.uniform(0, 600))
        clock.jump(-wrong)
        queue.probe()  # as upkeep does
    wrong = machine.reboot(rng) if reboots else 0.0
    with machine.store() as queue:
        machine.advance(rng.uniform(0, 600))
        clock.jump(-wrong)
        where = f"after a clock that was wrong by {wrong:g} s, {reboots} reboots"
        machine.advance(max(0.0, _DELAY - machine.passed - 1))
        if _claim(queue):
            result.faults.append(f"{where}: a delay was over too soon")
        machine.advance(machine.off + 2)
        lent = _claim(queue)
        if not lent:
            result.faults.append(f"{where}: a delay is not over")
        elif not machine.passed - machine.off - 2 <= lent[0].waited <= machine.passed + 2:
            result.faults.append(f"{where}: waited {lent[0].waited:g} s in place of {machine.passed:g}")
        _settle(queue, lent)
        for seconds, kept in ((_KEPT - machine.passed - 1, 2), (machine.off + 2, 1), (_DELAY, 0)):
            machine.advance(seconds)
            while queue.maintain(Retention(done_seconds=_KEPT)):
                pass
            if (there := queue.stats("q").done) != kept:
                result.faults.append(
                    f"{where}: {there} messages are kept in place of {kept}, after {machine.passed:g} s"
                )
    return reboots


def _claim(queue: Store) -> Sequence[Claim]:
    return queue.claim("q", 10, lease=_LEASE)


def _settle(queue: Store, claims: Sequence[Claim]) -> None:
    queue.settle([(one, Done()) for one in claims])


def _processes(setting: Setting) -> Result:
    """Real processes that start with a wrong clock: it is put right, in every second round over a faked reboot."""
    result = Result("clock wrong at the start of real processes, put right later", what="rounds", within=START_SECONDS)
    wrongs = _WRONG if setting.scale >= 1 else _WRONG[::2]

    def live(number: int) -> Result:
        part = Result(result.scenario, runs=1, within=START_SECONDS)
        with Rig(setting.folder / str(number)) as rig:
            _round(part, rig, wrongs[number], reboots=number % 2 == 0)
        return part

    for part in side_by_side(live, range(len(wrongs))):
        result.add(part)
    result.notes.append("here, recovered in is how much later than asked for a delayed message was handled")
    return result


def _round(result: Result, rig: Rig, wrong: float, *, reboots: bool) -> None:
    clock = rig.folder / "clock"
    clock.write_text(f"{wrong} first 0")
    plan = Plan(clock=str(clock), journal=str(rig.journal))
    listener = rig.listener(plan)
    listener.wait_to_say(SUBSCRIBED, _DEADLINE)
    with Publisher(rig.broker.port, topics(), count=_CHUNK) as publisher:
        publisher.finish(_DEADLINE)
    asked = time.monotonic()
    publish(rig.broker.port, [("chaos/x", b"%d." % _DELAYED)], properties=_properties(delay=_DELAY_SECONDS))
    publish(rig.broker.port, [("chaos/x", b"%d." % _EXPIRED)], properties=_properties(expiry=_EXPIRY_SECONDS))
    publish(rig.broker.port, [("chaos/x", b"%d." % _LASTING)], properties=_properties(expiry=_EXPIRY_SECONDS * 1_000))
    wait_for(lambda: rig.stored() >= _CHUNK + 3, _DEADLINE, what="all messages")
    expired_at = time.monotonic() + _EXPIRY_SECONDS
    if reboots:
        ended = time.monotonic()
        end(result, listener)
        # A new boot half a second after the kernel's clock began: the steady clock starts over.
        clock.write_text(f"{-50 * _YEAR} second {time.clock_gettime(time.CLOCK_BOOTTIME) - 0.5}")
        listener = rig.listener(plan)
        listener.wait_to_say(SUBSCRIBED, _DEADLINE)
        expired_at += time.monotonic() - ended  # a machine without a battery does not know how long it was off
    text = clock.read_text().split()
    clock.with_name("next").write_text(" ".join(["0", *text[1:]]))
    clock.with_name("next").replace(clock)
    wait_for(lambda: time.monotonic() > expired_at, _DEADLINE, what="the message to expire")
    processor = rig.processor(plan)

    def handled() -> set[int]:
        return {int(one) for one in read_journal(rig.journal).handled} if rig.journal.exists() else set()

    soon = {*range(_CHUNK), _LASTING}
    wait_for(lambda: soon <= handled(), _DEADLINE, what="everything that is due")
    at = wait_for(lambda: time.monotonic() if _DELAYED in handled() else 0.0, _DEADLINE, what="the delayed message")
    if at < asked + _DELAY_SECONDS:
        result.faults.append(f"wrong by {wrong:g} s: a delay was over {asked + _DELAY_SECONDS - at:.1f} s too soon")
    result.recovered(max(0.0, at - asked - _DELAY_SECONDS))
    if _EXPIRED in handled():
        result.faults.append(f"wrong by {wrong:g} s: a message was handled that had expired")
    end(result, listener, processor)
    result.lost += _CHUNK + 3 - rig.stored()
    result.messages += _CHUNK + 3


def _properties(*, delay: int = 0, expiry: int = 0) -> PahoProperties:
    properties = PahoProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if delay:
        properties.UserProperty = ("fmq-delay", str(delay))
    if expiry:
        properties.MessageExpiryInterval = expiry
    return properties


SCENARIOS: Sequence[Scenario] = (_processes, _by_hand)
