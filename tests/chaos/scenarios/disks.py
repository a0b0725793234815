"""Disks that are full, slow, failing or read-only: intake stops acknowledging, and continues automatically."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from chaos.plan import Plan
from chaos.publisher import Publisher
from chaos.rig import SUBSCRIBED, Rig, end, quiet, topics
from chaos.scenario import START_SECONDS, Result, Scenario, Setting, timed
from support.wait import wait_for

_ROUNDS = 24
_CHUNK = 1_000
_ORDERS = ("full", "failing", "unsyncable", "readonly", "slow", "unreadable")
_DEADLINE = 120.0
_STOPPED = "Intake stopped: "
_TMPFS_BYTES = 48 * 1024 * 1024
_LEFT_BYTES = 12 * 1024 * 1024
"""Less than FMQ_DISK_RESERVE_BYTES by default."""
_PAGES = 1_000


def _ordered_faults(setting: Setting) -> Result:
    """Every kind of failure in turn, under the listener's own connections."""
    result = Result("disk full, failing, not syncing, read-only, slow, unreadable (VFS)", what="faults")
    rounds = setting.scaled(_ROUNDS, least=len(_ORDERS))
    messages = rounds * _CHUNK
    with Rig(setting.folder / "ordered") as rig:
        orders = rig.folder / "orders"
        orders.write_text("good", encoding="ascii")
        rig.prepare()
        listener = rig.listener(Plan(disk=str(orders)), FMQ_BUSY_SECONDS=1)
        listener.wait_to_say(SUBSCRIBED, 60)
        processor = rig.processor(Plan(journal=str(rig.journal)))
        with Publisher(rig.broker.port, topics(), count=messages, allowed=0) as publisher:
            for number in range(rounds):
                order = _ORDERS[number % len(_ORDERS)]
                had, stops = rig.stored(), listener.text.count(_STOPPED)
                orders.write_text(order, encoding="ascii")
                time.sleep(0.05)  # until the disk looks at its orders again
                publisher.allowed += _CHUNK
                if order == "slow":
                    wait_for(lambda had=had: rig.stored() > had, _DEADLINE, what="slow intake")  # type: ignore[misc]
                elif order in (
                    "full",
                    "unreadable",
                ):  # it stops unless the log has room enough, or all that it reads is in memory
                    wait_for(
                        lambda stops=stops, goal=publisher.allowed: (  # type: ignore[misc]
                            listener.text.count(_STOPPED) > stops or rig.stored() >= goal
                        ),
                        _DEADLINE,
                        what="intake to stop or to go on",
                    )
                else:
                    listener.wait_to_say(_STOPPED, _DEADLINE, times=stops + 1)
                orders.write_text("good", encoding="ascii")
                with timed(result):
                    wait_for(
                        lambda goal=publisher.allowed: rig.stored() >= goal,  # type: ignore[misc]
                        _DEADLINE,
                        what=f"intake after a disk that was {order}",
                    )
            publisher.finish(_DEADLINE)
            rig.await_all(messages, _DEADLINE)
        end(result, listener, processor)
        rig.judge(result, messages)
    result.runs = rounds
    return result


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, in memory; needs root."""
    place = folder / "small"
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_TMPFS_BYTES}", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def _fill(place: Path, *, left: int) -> Path:
    ballast = place / "ballast"
    disk = os.statvfs(place)
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        file.write(bytes(disk.f_bavail * disk.f_frsize - left))
        while not left:
            file.write(bytes(4096))
    return ballast


def _full_file_system(setting: Setting) -> Result:
    """A real full disk, repeatedly, up to the reserve or to the last byte: intake goes on once there is room.

    As long as the reserve is there, processors drain the store meanwhile.
    """
    result = Result(f"disk full (file system of {_TMPFS_BYTES // 1024**2} MiB)", what="times full")
    rounds = setting.scaled(8, least=2)
    messages = rounds * 2 * _CHUNK
    with _small_disk(setting.folder / "tmpfs") as place, Rig(setting.folder / "full", store=place) as rig:
        rig.prepare()
        listener = rig.listener(FMQ_BUSY_SECONDS=1)
        listener.wait_to_say(SUBSCRIBED, 60)
        with Publisher(rig.broker.port, topics(), count=messages, allowed=0, size=400) as publisher:
            for number in range(rounds):
                publisher.allowed += _CHUNK
                wait_for(lambda goal=publisher.allowed: rig.stored() >= goal, _DEADLINE, what="intake")  # type: ignore[misc]
                to_the_last_byte = number % 2 == 1
                ballast = _fill(place, left=0 if to_the_last_byte else _LEFT_BYTES)
                publisher.allowed += _CHUNK
                listener.wait_to_say(_STOPPED, _DEADLINE, times=number + 1)
                had = quiet(rig.stored, 0.5, 5)
                if not to_the_last_byte:
                    processor = rig.processor(Plan(journal=str(rig.journal)))
                    wait_for(lambda: not rig.unhandled(), _DEADLINE, what="the processor to drain a full disk")
                    end(result, processor)
                    if rig.stored() > had:
                        result.faults.append("messages were stored on a full disk")
                ballast.unlink()
                with timed(result):
                    wait_for(lambda goal=publisher.allowed: rig.stored() >= goal, _DEADLINE, what="intake again")  # type: ignore[misc]
            publisher.finish(_DEADLINE)
            processor = rig.processor(Plan(journal=str(rig.journal)))
            rig.await_all(messages, _DEADLINE)
        end(result, listener, processor)
        rig.judge(result, messages)
    result.runs = rounds
    return result


def _full_file(setting: Setting) -> Result:
    """SQLITE_FULL by max_page_count: a processor and retention make room, and intake goes on with nobody's help."""
    result = Result("database full (max_page_count), freed by processor and retention", what="runs", runs=1)
    messages = setting.scaled(40_000, least=20_000)
    with Rig(setting.folder / "pages") as rig:
        rig.prepare()
        listener = rig.listener(Plan(pages=_PAGES), FMQ_RETENTION_SECONDS=0)
        listener.wait_to_say(SUBSCRIBED, 60)
        with Publisher(rig.broker.port, topics(), count=messages, size=400) as publisher:
            listener.wait_to_say(_STOPPED, _DEADLINE)
            publisher.finish(_DEADLINE)
            processor = rig.processor(Plan(journal=str(rig.journal)))
            processor.wait_to_say("Starting processor", 60)
            had = rig.stored()
            with timed(result):
                wait_for(lambda: rig.stored() > had, _DEADLINE, what="intake again")
            wait_for(lambda: rig.stored() >= messages and not rig.unhandled(), _DEADLINE, what="all messages")
        end(result, listener, processor)
        rig.judge_deeds(result, messages)
    result.runs = 1
    return result


def _read_only(setting: Setting) -> Result:
    """A file system mounted read-only: the listener says so and exits 3; mounted for writing again, it starts and goes on."""
    result = Result("file system mounted read-only, and again for writing", what="remounts", within=START_SECONDS)
    rounds = setting.scaled(3, least=1)
    messages = rounds * _CHUNK
    with _small_disk(setting.folder / "tmpfs-ro") as place, Rig(setting.folder / "readonly", store=place) as rig:
        rig.prepare()
        with Publisher(rig.broker.port, topics(), count=messages, allowed=0) as publisher:
            for _ in range(rounds):
                subprocess.run(["mount", "-o", "remount,ro", place], check=True)
                publisher.allowed += _CHUNK
                refused = rig.listener()
                if (code := refused.wait(60)) != 3 or "can't be written" not in refused.text:
                    result.faults.append(f"on a read-only file system: exit code {code}, {refused.text[-300:]}")
                subprocess.run(["mount", "-o", "remount,rw", place], check=True)
                with timed(result):
                    listener = rig.listener()
                    wait_for(lambda goal=publisher.allowed: rig.stored() >= goal, _DEADLINE, what="intake")  # type: ignore[misc]
                end(result, listener)
            publisher.finish(_DEADLINE)
        rig.judge(result, messages, handled=False)
    result.runs = rounds
    return result


SCENARIOS: Sequence[Scenario] = (_ordered_faults, _full_file_system, _full_file, _read_only)
