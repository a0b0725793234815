"""A broker that refuses one subscription and then closes the connection, as RabbitMQ does: the other filters lose nothing."""

import random
import threading
from collections.abc import Sequence

from chaos.checker import missing
from chaos.publisher import Publisher
from chaos.rig import FILTER, Rig, end, topics
from chaos.scenario import START_SECONDS, Result, Scenario, Setting, timed
from support.proxy import SUBACK, SUBSCRIBE, Packet, Proxy
from support.wait import wait_for

_ROUNDS = 10
_CHUNK = 1_000
_REFUSED = "refused/#"
_NOT_AUTHORIZED = b"\x87"
_FAILURE = b"\x80"
_FILTERS = ("other/+", _REFUSED, FILTER)
_DEADLINE = 120.0


class _Refuser:
    """A proxy's watch: answers SUBSCRIBE for one filter by a refusal, and ends all connections up to 0.1 s later."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._asked: set[tuple[int, int]] = set()
        self.proxy: Proxy | None = None
        self.refused = 0

    def __call__(self, packet: Packet) -> bytes:
        key = packet.connection, packet.packet_id
        if packet.kind == SUBSCRIBE and _REFUSED.encode() in packet.body:
            self._asked.add(key)
        elif packet.kind == SUBACK and key in self._asked and self.proxy:
            self.refused += 1
            threading.Timer(self._rng.uniform(0, 0.1), self.proxy.cut).start()
            return packet.raw[:-1] + (_NOT_AUTHORIZED if len(packet.body) > 3 else _FAILURE)
        return packet.raw


def _refusals(setting: Setting) -> Result:
    """In each round the broker or the listener begins anew, in the middle of the flow; both versions of MQTT in turn."""
    result = Result(
        "broker that closes the connection after a refused subscription", what="rounds", within=START_SECONDS
    )
    rng = setting.rng(result.scenario)
    rounds = setting.scaled(_ROUNDS, least=4)
    messages = rounds * _CHUNK
    refuser = _Refuser(rng)
    with Rig(setting.folder) as rig, Proxy(rig.broker.port, refuser) as proxy:
        rig.url = proxy.url
        refuser.proxy = proxy
        wide = [*topics(), "other/1", "other/2"]
        listener = rig.listener(None, *_FILTERS)
        listener.wait_to_say("Connected, but not subscribed to refused/#", 60)
        with Publisher(rig.broker.port, wide, count=messages, allowed=0) as publisher:
            for number in range(rounds):
                publisher.allowed += _CHUNK
                goal = publisher.allowed - rng.randrange(_CHUNK)
                wait_for(lambda goal=goal: publisher.acknowledged >= goal, _DEADLINE, what="more messages")  # type: ignore[misc]
                if number % 2:
                    rig.broker.stop()
                    rig.broker.start()
                else:
                    end(result, listener)
                    listener = rig.listener(None, *_FILTERS, FMQ_MQTT_VERSION=rng.choice(("5", "3.1.1")))
                with timed(result):
                    wait_for(
                        lambda: not missing(rig.database, publisher.allowed),
                        _DEADLINE,
                        what="the other filters to go on",
                    )
            publisher.finish(_DEADLINE)
            wait_for(lambda: not missing(rig.database, messages), _DEADLINE, what="the last messages")
        end(result, listener)
        result.faults += [f"the proxy failed: {error!r}" for error in proxy.errors]
        if "Traceback" in listener.text:
            result.faults.append(f"a traceback: {listener.text[-1000:]}")
        rig.judge(result, messages, handled=False)
    result.runs = rounds
    result.notes.append(f"{refuser.refused} refusals")
    return result


SCENARIOS: Sequence[Scenario] = (_refusals,)
