"""The broker is killed and comes back with what it had saved last: older messages, and not the newest subscriptions."""

import time
from collections.abc import Sequence

from chaos.acknowledged import Acknowledged
from chaos.checker import check_file, numbers
from chaos.plan import Plan
from chaos.publisher import Publisher
from chaos.rig import FILTER, SUBSCRIBED, Rig, end, quiet, topics
from chaos.scenario import Control, Result, Scenario, Setting, timed
from support.proxy import Proxy
from support.wait import wait_for

_KILLS = 10
_MESSAGES = 24_000
_DEADLINE = 120.0
_BROKEN = "subscribes only where the session is new"


def _kills(setting: Setting, *, broken: str | None = None) -> Result:
    """Before each kill a filter is added. After the last one, everything is stored, for each of the filters.

    What the broker had acknowledged before and not saved is gone with it: only what fmq has acknowledged is fmq's to keep.
    """
    result = Result("broker killed, with persistence, a filter added before each kill", what="kills")
    rng = setting.rng(result.scenario)
    kills = setting.scaled(_KILLS, least=3)
    messages = setting.scaled(_MESSAGES, least=1_200)
    added = [f"more/{number}" for number in range(kills)]
    seen = Acknowledged()
    forgotten = 0
    plan = Plan(broken=broken)
    with Rig(setting.folder / "kills") as rig, Proxy(rig.broker.port, seen) as proxy:
        rig.url = proxy.url
        listener = rig.listener(plan)
        listener.wait_to_say(SUBSCRIBED, 60)
        wait_for(lambda: FILTER.encode() in rig.broker.saved, _DEADLINE, what="the broker to save its sessions")
        with Publisher(rig.broker.port, [*topics(), *added], count=messages, allowed=0) as publisher:
            for number in range(kills):
                publisher.allowed = messages * (2 * number + 1) // (4 * kills)
                goal = publisher.allowed - rng.randrange(messages // (4 * kills))
                wait_for(lambda goal=goal: publisher.acknowledged >= goal, _DEADLINE, what="more messages")  # type: ignore[misc]
                end(result, listener)
                listener = rig.listener(plan, FILTER, *added[: number + 1])
                listener.wait_to_say(SUBSCRIBED, 60)
                publisher.allowed = messages * (2 * number + 2) // (4 * kills)
                time.sleep(rng.uniform(0, 0.03))  # in the middle of the flow
                rig.broker.kill()
                forgotten += added[number].encode() not in rig.broker.saved
                rig.broker.start()
                with timed(result):
                    result.runs += 1
                    listener.wait_to_say(SUBSCRIBED, 60, times=2)
            wait_for(lambda: publisher.acknowledged >= messages // 2, _DEADLINE, what="the first half")
            publisher.allowed = messages
            publisher.finish(_DEADLINE)
            owed = set(range(messages // 2, messages))
            wait_for(lambda: owed <= seen.numbers or quiet(lambda: len(seen.numbers), 2.0, 60), _DEADLINE)
        end(result, listener)
        result.faults += [f"the proxy failed: {error!r}" for error in proxy.errors]
        owed |= seen.numbers
        there = numbers(rig.database)
        result.lost = len(owed - there)
        result.faults += check_file(rig.database)
        result.notes.append(
            f"the broker forgot {forgotten} of {kills} new subscriptions; {messages - len(owed | there)} messages went with it, or "
            "came before their filter was added"
        )
        if not forgotten:
            result.faults.append("the broker forgot no subscription: this proves nothing")
    result.messages = len(owed)
    return result


def _control(setting: Setting) -> Control:
    seen = _kills(Setting(setting.folder, setting.seed, setting.scale / 4), broken=_BROKEN)
    return Control(f"a listener that {_BROKEN}", f"{seen.lost} messages lost" if seen.lost else "")


SCENARIOS: Sequence[Scenario] = (_kills, _control)
