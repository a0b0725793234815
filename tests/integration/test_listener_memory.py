"""The memory of a real listener stays below its shipped limit, whatever a broker sends."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fmq.store.backends import open_store
from fmq.topics import QUARANTINE
from fmq_listener.settings import ListenerSettings
from support.memory import shipped_limit
from support.processes import Processes
from support.scripted_broker import SUBSCRIBE, Connection, ScriptedBroker, publish, user_property
from support.wait import wait_for

_LARGEST = int(ListenerSettings.model_fields["max_packet_bytes"].default)
_BESIDE = 100
"""At least the bytes of a PUBLISH of the tests without the part that makes it large."""
_USERS = 150_000


def full_batch() -> list[bytes]:
    """Just less than FMQ_INFLIGHT_BYTES."""
    size = 100_000
    count = int(ListenerSettings.model_fields["inflight_bytes"].default) // (size + _BESIDE)
    return [publish("t/small", b"s" * size, packet_id=number + 1) for number in range(count)]


def largest_messages() -> list[bytes]:
    return full_batch() + [publish("t/large", bytes(_LARGEST - _BESIDE), packet_id=9_000 + n) for n in range(3)]


def largest_sections() -> list[bytes]:
    """Of the smallest user properties: some 13 million of them."""
    inside = user_property("", "") * ((_LARGEST - _BESIDE) // 5)
    return [*full_batch(), publish("t/raw", properties=inside, packet_id=9_000)]


def many_user_properties() -> list[bytes]:
    sections = (
        b"".join(user_property(f"name {number}", f"value {number}") for number in range(_USERS)),
        user_property("", "") * _USERS,
    )
    return [publish("t/users", properties=sections[n % 2], packet_id=n + 1) for n in range(4)]


def texts_that_grow() -> list[bytes]:
    """Characters that JSON writes as six, and some that make a whole string four times as large in memory."""
    control = user_property("\x01" * 60_000, "\x02" * 30_000) * 50
    wide = user_property("x" * 60_000 + "\U0001f600", "y" * 60_000 + "\U0001f600") * 100
    return full_batch() + [
        publish("t", properties=one, packet_id=9_000 + n) for n, one in enumerate((control, wide) * 2)
    ]


def exactly_once_flood() -> list[bytes]:
    return [publish("t/twice", b"x" * 115, packet_id=number, qos=2) for number in range(1, 65_536)]


_FLOODS: list[Callable[[], list[bytes]]] = [
    largest_messages,
    largest_sections,
    many_user_properties,
    texts_that_grow,
    exactly_once_flood,
]


@pytest.fixture(params=_FLOODS, ids=lambda one: one.__name__)
def flood(request: pytest.FixtureRequest) -> list[bytes]:
    packets: list[bytes] = request.param()
    return packets


def most_memory(pid: int) -> int:
    """The most bytes that a process ever had resident, its share of mapped files included (proc(5), VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_the_listener_stays_below_its_shipped_limit(fmq: Processes, database: Path, flood: list[bytes]) -> None:
    """With a full batch next to it, each message is stored and acknowledged, and 50 MB of the limit are never used."""
    answered = threading.Event()

    def script(connection: Connection) -> None:
        connection.accept(session_present=True)
        connection.read_until(SUBSCRIBE)
        sender = threading.Thread(target=connection.send, args=flood)
        sender.start()
        connection.answers(len(flood))
        sender.join()
        answered.set()
        connection.serve()

    with ScriptedBroker(script) as broker:
        listener = fmq.start("listen", "t/#", FMQ_BROKER_URL=broker.url, FMQ_CLIENT_ID="L")
        wait_for(answered.is_set, 60, what="all answers")
        used = most_memory(listener.pid)
        assert listener.terminate() == 0
    assert not broker.errors
    assert used < shipped_limit() - 50_000_000, f"{used / 2**20:.0f} MiB"
    with open_store(f"sqlite:///{database}") as queue:
        assert sum(queue.stats(name).stored for name in queue.names()) == len(flood)
        if QUARANTINE not in queue.names() and b"name 0" in flood[0]:
            claims = queue.claim("t/#", 9, lease=60)
            assert [len(claim.message.properties.user_properties) for claim in claims] == [_USERS] * len(flood)
