"""Every process is killed, ended or stopped: at every step that matters, and at random moments."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from chaos.plan import Plan
from chaos.points import LISTENER, PROCESSOR
from chaos.publisher import Publisher
from chaos.rig import SUBSCRIBED, Rig, quiet, topics
from chaos.scenario import START_SECONDS, Control, Result, Scenario, Setting
from chaos.victim import Victim
from support.processes import FmqProcess

_KILLS = 320
_MESSAGES = 1_000_000
_DEADLINE = 900.0
_TICK = 0.05
_SLOW: dict[str, object] = {"FMQ_HANDLER": "chaos.handlers:note_slowly"}
_SEEN_IF_SLOW = ("lends what is lent",)
"""What shows only while messages are held for longer than the store keeps their lease."""
_SEEN_ALONE = ("settles before it handles",)
"""What shows only in a processor that is killed: another one would take its messages before."""
_ORDERED: dict[str, object] = {
    "FMQ_HANDLER": "chaos.handlers:note_or_fail",
    "FMQ_ORDERED": "true",
    # The first messages of all topics can be such as fail: that is their own fault, and no outage.
    "FMQ_CIRCUIT_FAILURES": 0,
}
_CONTROL_MESSAGES = 20_000
_CONTROL_KILLS = 12
_TRIES = 3


def _matrix(setting: Setting, *, ordered: bool) -> Result:
    """A listener and two processors, all struck at once while messages come."""
    share = 0.15 if ordered else 0.85
    kills, messages = setting.scaled(round(_KILLS * share)), setting.scaled(round(_MESSAGES * share), least=1000)
    name = "processes killed, ended and stopped" + (", ordered" if ordered else "")
    result = Result(name, what="kills", within=START_SECONDS)
    rng = setting.rng(name)
    options = _ORDERED if ordered else {}
    with Rig(setting.folder / ("ordered" if ordered else "matrix")) as rig:
        rig.prepare()
        publisher = Publisher(rig.broker.port, topics(50 if ordered else 8), count=messages, allowed=0)
        listener = Victim(rig.listener, LISTENER, rng, ready=SUBSCRIBED)
        processors = [
            Victim(
                lambda plan: rig.processor(replace(plan, journal=str(rig.journal)), **options),
                PROCESSOR,
                setting.rng(f"{name} {number}"),
                ready="Starting processor",
            )
            for number in range(2)
        ]
        victims = [listener, *processors]
        with publisher:
            for victim in victims:
                victim.start()
            while (so_far := sum(one.kills for one in victims)) < kills and any(one.is_alive() for one in victims):
                publisher.allowed = round(messages * (so_far + 3) / kills)
                time.sleep(_TICK)
            publisher.allowed = messages
            ended = [one.end() for one in victims]
            publisher.finish(_DEADLINE)
            rig.await_all(messages, _DEADLINE)
        for process in ended:
            if (code := process.terminate()) != 0:
                result.faults.append(f"exit code {code} at the end: {process.text[-400:]}")
        rig.judge(result, messages, in_order=ordered)
    strikes: Counter[str] = sum((one.strikes for one in victims), Counter())
    reached: Counter[str] = sum((one.reached for one in victims), Counter())
    result.runs = result.kills = strikes["KILL"]
    result.recovered(max(one.slowest_start for one in victims))
    result.faults += [fault for one in victims for fault in one.faults]
    result.notes.append(f"{strikes['KILL']} SIGKILL, {strikes['TERM']} SIGTERM, {strikes['STOP']} SIGSTOP")
    result.notes.append("struck at " + ", ".join(f"{point} {count}" for point, count in sorted(reached.items())))
    if setting.scale >= 1 and not ordered and (missed := {*LISTENER, *PROCESSOR} - set(reached)):
        result.faults.append(f"never struck at {', '.join(sorted(missed))}")
    return result


def _repeated(setting: Setting, *, broken: str, listener: bool = False, ordered: bool = False) -> Control:
    """The same with one promise broken: the checks have to see it. Up to three runs: the moments are drawn, and in one run all of them may be such as do no harm."""
    for number in range(_TRIES - 1):
        again = replace(setting, folder=setting.folder / str(number), seed=setting.seed + number)
        control = _control(again, broken, listener=listener, ordered=ordered)
        if control.noticed:
            return control
    return _control(setting, broken, listener=listener, ordered=ordered)


def _control(setting: Setting, broken: str, *, listener: bool, ordered: bool) -> Control:
    control = Control(f"a {'listener' if listener else 'processor'} that {broken}")
    options = _ORDERED if ordered else _SLOW if broken in _SEEN_IF_SLOW else {}
    with Rig(setting.folder / broken.replace(" ", "-")) as rig:
        rig.prepare()
        journal = str(rig.journal)

        def bad_listener(plan: Plan) -> FmqProcess:
            return rig.listener(replace(plan, broken=broken))

        def bad_processor(plan: Plan) -> FmqProcess:
            return rig.processor(replace(plan, broken=broken, journal=journal), **options)

        points, ready = (("put.commit",), SUBSCRIBED) if listener else (("handle.before",), "Starting processor")
        victim = Victim(bad_listener if listener else bad_processor, points, setting.rng(broken), ready=ready)
        others = [rig.processor(Plan(journal=journal))] if listener else [rig.listener()]
        if not listener and broken not in _SEEN_ALONE:
            others.append(bad_processor(Plan()))
        with Publisher(rig.broker.port, topics(), count=_CONTROL_MESSAGES, allowed=0) as publisher:
            victim.start()
            while victim.kills < _CONTROL_KILLS and victim.is_alive():
                publisher.allowed = round(_CONTROL_MESSAGES * (victim.kills + 1) / _CONTROL_KILLS)
                time.sleep(_TICK)
            last = victim.end()
            publisher.finish(_DEADLINE)
            quiet(rig.stored, 2.0, _DEADLINE)
            rig.await_handled(_DEADLINE)
        for process in (last, *others):
            process.terminate()
        seen = Result(control.name)
        rig.judge(seen, _CONTROL_MESSAGES, in_order=ordered)
    control.noticed = "; ".join([*([f"{seen.lost} messages lost"] if seen.lost else []), *seen.faults])
    return control


SCENARIOS: Sequence[Scenario] = (
    partial(_matrix, ordered=False),
    partial(_matrix, ordered=True),
    partial(_repeated, broken="acknowledges before it stores", listener=True),
    partial(_repeated, broken="settles before it handles"),
    partial(_repeated, broken="lends what is lent"),
    partial(_repeated, broken="ignores the order", ordered=True),
)
