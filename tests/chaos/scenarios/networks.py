"""The network between broker and listener: cut, cut within a packet, slow, stalled, deaf, refusing."""

import time
from collections.abc import Sequence

from chaos.network import Network
from chaos.plan import Plan
from chaos.publisher import Publisher
from chaos.rig import SUBSCRIBED, Rig, end, topics
from chaos.scenario import Result, Scenario, Setting, timed
from support.wait import wait_for

_FAULTS = 60
_MESSAGES = 60_000
_KINDS = ("cut", "cut within a packet", "delay", "throttle", "stall", "swallowed PUBACKs", "refused connections")
_HOLD = {"delay": 1.0, "throttle": 1.0, "stall": 8.0, "swallowed PUBACKs": 1.0, "refused connections": 2.0}
"""Seconds at most; a connection is given up after three of silence."""
_DEADLINE = 300.0


def _faults(setting: Setting) -> Result:
    result = Result("network faults", what="faults")
    faults, messages = setting.scaled(_FAULTS, least=len(_KINDS)), setting.scaled(_MESSAGES, least=2_000)
    rng = setting.rng("network")
    with Rig(setting.folder) as rig, Network(rig.broker.port) as network:
        rig.url = network.url
        rig.prepare()
        listener = rig.listener(FMQ_KEEPALIVE_SECONDS=2)
        listener.wait_to_say(SUBSCRIBED, 60)
        processor = rig.processor(Plan(journal=str(rig.journal)))
        with Publisher(rig.broker.port, topics(), count=messages, allowed=0) as publisher:
            for number in range(faults):
                kind = _KINDS[number % len(_KINDS)]
                publisher.allowed = messages * (number + 1) // faults
                _break(network, kind, rng.random())
                wait_for(
                    lambda: publisher.acknowledged >= publisher.allowed and not network.cut_is_due,
                    _DEADLINE,
                    what=f"the end of: {kind}",
                )
                time.sleep(_HOLD.get(kind, 0.0) * rng.random())
                had, goal = rig.stored(), publisher.allowed
                network.heal()
                if kind == "swallowed PUBACKs":
                    network.cut()  # the broker never asks again for a PUBACK while the connection stands
                with timed(result):
                    wait_for(
                        lambda had=had, goal=goal: rig.stored() > had or rig.stored() >= goal,  # type: ignore[misc]
                        _DEADLINE,
                        what=f"intake after: {kind}",
                    )
            publisher.finish(_DEADLINE)
            rig.await_all(messages, _DEADLINE)
        end(result, listener, processor)
        rig.judge(result, messages)
        result.notes.append(
            f"{', '.join(_KINDS)} in turn; {network.cuts} cuts, {network.swallowed} PUBACKs swallowed, "
            f"{network.connections} connections"
        )
    result.runs = faults
    return result


def _break(network: Network, kind: str, chance: float) -> None:
    match kind:
        case "cut":
            network.cut()
        case "cut within a packet":
            network.cut_within(int(10 + chance * 20_000))
        case "delay":
            network.delay = 0.05 + chance / 5
        case "throttle":
            network.rate = 20_000 + chance * 200_000
        case "stall":
            network.stalled = True
        case "swallowed PUBACKs":
            network.swallows = True
        case _:
            network.refuses = True
            network.cut()


SCENARIOS: Sequence[Scenario] = (_faults,)
