"""The broker goes: as an operator ends it, with its sessions kept; and killed, with nothing kept."""

import random
from collections.abc import Iterator, Sequence

from chaos.acknowledged import Acknowledged
from chaos.checker import numbers
from chaos.plan import Plan
from chaos.publisher import Publisher
from chaos.rig import SUBSCRIBED, Rig, end, quiet, topics
from chaos.scenario import Result, Scenario, Setting, timed
from support.proxy import Proxy
from support.wait import wait_for

_RESTARTS = 12
_KILLS = 8
_MESSAGES = 30_000
_DEADLINE = 300.0


def _restarts(setting: Setting) -> Result:
    """A broker that keeps its sessions on disk is ended and started: nothing is lost, by it or by fmq."""
    result = Result("broker restarted, with persistence", what="restarts")
    restarts, messages = setting.scaled(_RESTARTS), setting.scaled(_MESSAGES)
    with Rig(setting.folder / "restarts") as rig:
        rig.prepare()
        listener, processor = rig.listener(), rig.processor(Plan(journal=str(rig.journal)))
        listener.wait_to_say(SUBSCRIBED, 60)
        with Publisher(rig.broker.port, topics(), count=messages, allowed=0) as publisher:
            for _ in _moments(publisher, messages, restarts, setting.rng(result.scenario)):
                rig.broker.stop()
                rig.broker.start()
                with timed(result):
                    result.runs += 1
                    listener.wait_to_say(SUBSCRIBED, 60, times=result.runs + 1)
            publisher.finish(_DEADLINE)
            rig.await_all(messages, _DEADLINE)
        end(result, listener, processor)
        rig.judge(result, messages)
    return result


def _moments(publisher: Publisher, messages: int, count: int, rng: random.Random) -> Iterator[None]:
    """Moments spread over the publication: the publisher goes on only when the last one is over."""
    for number in range(count):
        publisher.allowed = messages * (number + 1) // count
        goal = rng.randrange(messages * number // count, publisher.allowed)
        wait_for(lambda goal=goal: publisher.acknowledged >= goal, _DEADLINE, what="more messages")  # type: ignore[misc]
        yield


def _kills(setting: Setting) -> Result:
    """A broker that keeps nothing is killed: what it had not handed over is gone, what fmq acknowledged is not."""
    result = Result("broker killed, without persistence", what="kills")
    kills, messages = setting.scaled(_KILLS), setting.scaled(_MESSAGES)
    seen = Acknowledged()
    with (
        Rig(setting.folder / "kills", broker_config=["persistence false"]) as rig,
        Proxy(rig.broker.port, seen) as proxy,
    ):
        rig.url = proxy.url
        listener = rig.listener()
        listener.wait_to_say(SUBSCRIBED, 60)
        with Publisher(rig.broker.port, topics(), count=messages, allowed=0) as publisher:
            for _ in _moments(publisher, messages, kills, setting.rng(result.scenario)):
                rig.broker.kill()
                rig.broker.start()
                with timed(result):
                    result.runs += 1
                    listener.wait_to_say(SUBSCRIBED, 60, times=result.runs + 1)
            publisher.finish(_DEADLINE)
            quiet(lambda: len(seen.numbers), 1.0, 60)
        end(result, listener)
        result.faults += [f"the proxy failed: {error!r}" for error in proxy.errors]
        there = numbers(rig.database)
        result.lost = len(seen.numbers - there)
        result.notes.append(
            f"the broker itself lost {messages - len(seen.numbers | there)} of what it had acknowledged"
        )
    result.messages = len(seen.numbers)
    return result


SCENARIOS: Sequence[Scenario] = (_restarts, _kills)
