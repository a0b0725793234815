"""Disks whose reads fail under processors: they outlive it, and handle everything."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from urllib.error import URLError

from chaos.plan import Plan
from chaos.publisher import Publisher
from chaos.rig import SUBSCRIBED, Rig, end, topics
from chaos.scenario import Result, Scenario, Setting, timed
from support.wait import wait_for

_ROUNDS = 5
_CHUNK = 300
_SECONDS = 2.0
_MOST_SECONDS = 20.0
_ORDERS = ("unreadable", "unreadable", "failing")
_BUSY = {"extend", "settle"}
_IDLE = {"claim", "services"}
"""``services`` is what a scrape of a processor reads first."""
_DEADLINE = 120.0


def _read_errors(setting: Setting) -> Result:
    """Two processors with a disk each that fails while they claim, extend, settle and are scraped: for two seconds, and longer until each call that the round is for has failed."""
    result = Result("disk that can't be read, or written, under processors (VFS)", what="faults")
    rounds = setting.scaled(_ROUNDS, least=4)
    messages = rounds * _CHUNK
    with Rig(setting.folder) as rig:
        orders, struck = rig.folder / "orders", rig.folder / "struck"
        orders.write_text("good", encoding="ascii")
        rig.prepare()
        listener = rig.listener()
        listener.wait_to_say(SUBSCRIBED, 60)
        plan = Plan(disk=str(orders), journal=str(rig.journal), struck=str(struck))

        def failed() -> Counter[str]:
            return Counter(struck.read_text(encoding="ascii").split() if struck.exists() else ())

        def extended() -> int:
            return rig.journal.read_bytes().count(b"\nK ") if rig.journal.exists() else 0

        # The handler takes longer than a lease now and then: it has to be extended meanwhile.
        settings = {"FMQ_HANDLER": "chaos.handlers:note_for_a_while", "FMQ_BATCH": 20, "FMQ_BUSY_SECONDS": 1}
        processors = [rig.processor(plan, **settings) for _ in range(2)]
        for processor in processors:
            processor.wait_to_say("Starting processor", 60)
        with Publisher(rig.broker.port, topics(), count=messages, allowed=0) as publisher:
            for number in range(rounds):
                had = extended()
                publisher.allowed += _CHUNK // 2
                wait_for(lambda: rig.stored() >= publisher.allowed, _DEADLINE, what="intake")
                is_idle = number % 2 == 1
                if is_idle:
                    wait_for(lambda: not rig.unhandled(), _DEADLINE, what="idle processors")
                else:  # the fault is to begin in the midst of a long message
                    wait_for(lambda had=had: extended() > had, _DEADLINE, what="a lease to be extended")  # type: ignore[misc]
                orders.write_text(_ORDERS[number % len(_ORDERS)], encoding="ascii")
                publisher.allowed += _CHUNK // 2
                wanted = _IDLE if is_idle else _BUSY
                began = time.monotonic()  # the fault itself lasts
                while (passed := time.monotonic() - began) < _SECONDS or (
                    passed < _MOST_SECONDS and not wanted <= set(failed())
                ):
                    for processor in processors:
                        with suppress(URLError, TimeoutError):
                            processor.get("metrics")
                    time.sleep(0.1)
                left = rig.unhandled()
                orders.write_text("good", encoding="ascii")
                with timed(result):
                    wait_for(
                        lambda left=left: rig.unhandled() < left or not left,  # type: ignore[misc]
                        _DEADLINE,
                        what="a processor to go on",
                    )
                    if dead := [one for one in processors if not one.running]:
                        raise AssertionError(f"a processor ended: {dead[0].text[-2000:]}")
            publisher.finish(_DEADLINE)
            rig.await_all(messages, _DEADLINE)
        end(result, listener, *processors)
        rig.judge(result, messages)
        hits = failed()
    result.runs = rounds
    result.notes.append("failed: " + ", ".join(f"{call} {count}" for call, count in sorted(hits.items())))
    if never := (_BUSY | _IDLE) - set(hits):
        result.faults.append(f"never failed: {', '.join(sorted(never))}")
    return result


SCENARIOS: Sequence[Scenario] = (_read_errors,)
