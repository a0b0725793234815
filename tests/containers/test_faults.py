"""Killed, stopped and starved of disk: every acknowledged message still reaches a handler."""

import time
from collections import Counter
from collections.abc import Callable

import pytest

from containers.conftest import StackMaker
from support.containers.publisher import Publisher
from support.containers.stack import seconds
from support.wait import wait_for

_TOPIC = "sensors/load"
_MESSAGES = 50_000
_RATE = 2_000
_FORGOTTEN_SECONDS = 4.0
"""What Mosquitto may forget at a SIGKILL: it saves every two seconds, and a save of this size takes less than one."""
_GRACE_SECONDS = 45


@pytest.mark.timeout(400)
def test_fifty_thousand_messages_while_every_container_is_killed_twice(
    stack: StackMaker, tell: Callable[[str], None]
) -> None:
    """Lost: 0 of 50,000, while processor, listener and broker are each killed (SIGKILL) twice under load.

    Promised by fmq: what was acknowledged to it and by it is stored and handled at least once, whatever is killed.
    Not promised by Mosquitto: that it remembers what it acknowledged to the publisher in the last seconds before a
    SIGKILL of its own. So the publisher does here what a publisher has to do that can't lose anything: after the death
    of the broker it publishes once more what the broker had acknowledged since its last save. Nothing is published
    again after the death of a listener or a processor.
    """
    made = stack(FMQ_HANDLER="ledger:handle", FMQ_BATCH="50", FMQ_LEASE_SECONDS="10")
    made.up()
    victims = ("processor", "listener", "mosquitto") * 2
    begun = time.monotonic()
    with Publisher(made.broker_port, _TOPIC, count=_MESSAGES, rate=_RATE) as publisher:
        for number, victim in enumerate(victims, start=1):
            publisher.wait_until(number * _MESSAGES // (len(victims) + 1))
            killed = time.monotonic()
            made.only(victim).kill()
            if victim == "mosquitto":
                publisher.repeat(publisher.acknowledged_since(killed - _FORGOTTEN_SECONDS))
        publisher.finish()
    every = {str(number) for number in range(_MESSAGES)}
    wait_for(lambda: every <= set(made.handled()), 120, what="every message to be handled")
    made.wait_for_done(_MESSAGES)

    assert {made.only(name).restarts for name in victims} == {2}
    stored = Counter(made.payloads("processed = 1 AND dead_at IS NULL"))
    handled = Counter(made.handled())
    assert stored.keys() == every
    assert handled.keys() == every
    tell(
        f"6 kills: {_MESSAGES:,} messages acknowledged by the broker ({publisher.repeated:,} published again after its death), "
        f"lost {len(every - handled.keys())}, stored twice or more {_more_than_one(stored):,}, "
        f"handled twice or more {_more_than_one(handled):,}; {seconds(begun):.0f} s"
    )


@pytest.mark.timeout(300)
def test_stopped_under_load_it_ends_in_time_and_loses_nothing(stack: StackMaker, tell: Callable[[str], None]) -> None:
    """`docker compose stop` ends every service, with 0, within its grace period; nothing is lost or left claimed.

    The broker is stopped too, so it saves what it has: here every acknowledged message has to be there afterwards, with
    nothing published again.
    """
    count = 3_000
    made = stack(FMQ_HANDLER="ledger:slow", FMQ_BATCH="20", FMQ_CONCURRENCY="4")
    made.up("--scale", "processor=2")
    with Publisher(made.broker_port, _TOPIC, count=count, rate=500) as publisher:
        publisher.wait_until(count // 2)
        begun = time.monotonic()
        made.compose("stop", deadline=3 * _GRACE_SECONDS)
        took = seconds(begun)
        ends = {
            name: [one.exit_code for one in made.containers(name)] for name in ("processor", "listener", "mosquitto")
        }
        assert ends == {"processor": [0, 0], "listener": [0], "mosquitto": [0]}
        assert took < _GRACE_SECONDS
        tell(f"docker compose stop under load, two processors with work in hand: {took:.1f} s, all exit codes 0")
        made.compose("start", "mosquitto", "listener")
        wait_for(lambda: made.listener.run("fmq", "health", "--ready", check=False).returncode == 0, 60)
        assert made.status()["claimed"] == 0
        made.compose("start", "processor")
        publisher.finish()
    assert publisher.repeated == 0
    made.wait_for_done(count, deadline=180)
    assert set(made.handled()) == {str(number) for number in range(count)}


@pytest.mark.timeout(300)
def test_full_disk_stops_intake_until_there_is_space(stack: StackMaker, tell: Callable[[str], None]) -> None:
    """On a full volume nothing is acknowledged: the broker keeps the messages, and all are stored once there is space.

    The listener stays alive, says that it is not ready and why, and continues automatically.
    """
    count, volume, filler = 8_000, "64m", 38  # the last 16 MiB are kept for processors
    options = {"type": "tmpfs", "device": "tmpfs", "o": f"size={volume},uid=10001,gid=10001,mode=0770"}
    impatient = {"services": {"listener": {"environment": {"FMQ_RECONNECT_MAX_SECONDS": "2"}}}}
    made = stack(impatient, {"volumes": {"queue": {"driver_opts": options}}}, FMQ_HANDLER="ledger:handle")
    made.up("mosquitto", "listener")
    listener = made.listener
    listener.run("sh", "-c", f"head -c {filler}M /dev/zero >/data/filler")
    payloads = [f"{number:05} {'x' * 1_000}" for number in range(count)]
    made.publish(_TOPIC, payloads)

    wait_for(lambda: made.metric("fmq_store_failures_total") >= 1, 60, what="commits to fail")
    wait_for(lambda: made.metric("fmq_stored_total") == made.status()["stored"], what="the last commit")
    stored = made.status()["stored"]
    assert 0 < stored < count
    assert listener.run("fmq", "health").returncode == 0
    # Between two attempts it may be ready for a moment: a small commit still finds room where a batch does not.
    wait_for(
        lambda: "of the disk are free" in listener.run("fmq", "health", "--ready", check=False).stderr,
        30,
        what="/readyz to tell",
    )
    assert made.metric("fmq_acknowledged_total") <= stored

    listener.run("rm", "/data/filler")
    wait_for(lambda: made.status()["stored"] >= count, 60, what="the rest to be stored")
    assert listener.restarts == 0
    assert not [line for line in listener.output if "Traceback" in line]
    made.up("--scale", "processor=1")
    made.wait_for_done(count)
    assert set(made.payloads()) == set(payloads)
    assert set(made.handled()) == set(payloads)
    tell(
        f"full disk: {stored:,} of {count:,} stored when the volume was full, {made.status()['stored']:,} rows afterwards, lost 0"
    )


def _more_than_one(counts: Counter[str]) -> int:
    return sum(count > 1 for count in counts.values())
