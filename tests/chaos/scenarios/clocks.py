"""The wall clock jumps by an hour, forward and back, while messages come and are handled."""

from collections.abc import Sequence

from chaos.plan import Plan
from chaos.publisher import Publisher
from chaos.rig import SUBSCRIBED, Rig, end, topics
from chaos.scenario import Result, Scenario, Setting, timed
from fmq.message import Claim, Incoming
from fmq.outcome import Done, RetryLater
from fmq.store.backends import open_store
from fmq.store.options import Retention, StoreOptions
from support.clock import FakeClock

_JUMPS = 12
_CHUNK = 1_000
_HOUR = 3_600
_DEADLINE = 120.0
_LEASE = 60.0
_DELAY = 30.0
_KEPT = 7_200.0
_ROUNDS = 200


def _processes(setting: Setting) -> Result:
    """Real processes, whose wall clock has the jumps; a seventh of all attempts asks for a retry in 10 ms."""
    result = Result("clock jumps of an hour, real processes", what="jumps")
    jumps = setting.scaled(_JUMPS, least=2)
    messages = jumps * _CHUNK
    rng = setting.rng(result.scenario)
    with Rig(setting.folder / "processes") as rig:
        clock = rig.folder / "clock"
        clock.write_text("0", encoding="ascii")
        rig.prepare()
        plan = Plan(clock=str(clock), journal=str(rig.journal))
        listener = rig.listener(plan, FMQ_RETENTION_SECONDS="forever")
        listener.wait_to_say(SUBSCRIBED, 60)
        workers = [rig.processor(plan, FMQ_HANDLER="chaos.handlers:note_or_fail") for _ in range(2)]
        with Publisher(rig.broker.port, topics(), count=messages, allowed=0) as publisher:
            for _ in range(jumps):
                publisher.allowed += _CHUNK
                replacement = clock.with_name("next")
                replacement.write_text(str(rng.choice((-_HOUR, 0, _HOUR))), encoding="ascii")
                replacement.rename(clock)
                with timed(result):
                    rig.await_all(publisher.allowed, _DEADLINE)
        end(result, listener, *workers)
        rig.judge(result, messages)
    result.runs = jumps
    return result


def _by_hand(setting: Setting) -> Result:
    """One store and a clock that is moved by hand: leases and delays take their time, retention deletes only what is settled."""
    result = Result("clock jumps of an hour, leases, delays and retention", what="rounds")
    rng = setting.rng(result.scenario)
    clock = FakeClock()
    path = setting.folder / "by-hand.db"
    with open_store(f"sqlite:///{path}", StoreOptions(check_integrity=False), clock=clock) as queue:
        queue.declare("q")
        rounds = setting.scaled(_ROUNDS, least=20)
        right = clock.wall() - clock.steady()

        def jump() -> None:
            """To an hour before or after the right time, or back to it."""
            clock.jump(right + rng.choice((-_HOUR, 0, _HOUR)) - (clock.wall() - clock.steady()))

        def due_after(seconds: float, what: str) -> Claim:
            """Nothing is due a second before, and something a second after, whatever the wall clock says."""
            jump()
            clock.advance(seconds - 1)
            if queue.claim("q", 1, lease=_LEASE):
                result.faults.append(f"{what} was over too soon")
            jump()
            clock.advance(2)
            return queue.claim("q", 1, lease=_LEASE)[0]

        for number in range(rounds):
            jump()
            queue.put([Incoming("q", "q", b"%d" % number, clock.wall())])
            lent = queue.claim("q", 1, lease=_LEASE)[0]
            again = due_after(_LEASE, "a lease")
            if not queue.settle([(lent, Done())]):
                result.faults.append("a stale settlement took effect")
            queue.settle([(again, RetryLater(_DELAY))])
            last = due_after(_DELAY, "a delay")
            jump()
            before = queue.stats("q").done
            queue.maintain(Retention(done_seconds=0.0))
            if queue.stats("q").claimed != 1:
                result.faults.append("retention deleted what is claimed")
            if queue.stats("q").done > before:
                result.faults.append("retention made messages")
            queue.settle([(last, Done())])
        for _ in range(10):
            clock.advance(_KEPT)
            queue.maintain(Retention(done_seconds=_KEPT))
        if (left := queue.stats("q").done) != 0:
            result.faults.append(f"{left} handled messages outlived their retention by hours")
    result.runs = result.messages = rounds
    return result


SCENARIOS: Sequence[Scenario] = (_processes, _by_hand)
