"""A broker that sends what no broker should: malformed, truncated and oversized packets, wrong reason codes, floods."""

import random
import struct
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from chaos.rig import FILTER, Rig
from chaos.scenario import Result, Scenario, Setting
from support.counting import query
from support.firehose import Firehose, Peer, publish_packet
from support.memory import MIB, peak_bytes, resident_bytes
from support.wait import wait_for

_CONNECTIONS = 300
_MEMORY_MIB = 30
"""Growth that is allowed. No packet here is larger than 2 MB, and no batch than a Receive Maximum of them: memory that grows
further is held for longer than a batch. Packets of megabytes are in properties.py, against the limit of the container."""
_DEADLINE = 300.0
_CONNACKS = (
    b"\x20\x03\0\x87\0",  # not authorized
    b"\x20\x03\0\xff\0",  # no such reason code
    b"\x20\x02\0\0",  # that of MQTT 3.1.1
    b"\x20\x00",  # nothing in it
    b"\x20\x06\0\0\x03\x21\0\0",  # a Receive Maximum of 0, which must not be
    b"\x20\xff\xff\xff\xff\x01",  # a length of five bytes
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
)
_SUBACKS = (0x80, 0x87, 0x8F, 0x97, 0xFF, 0, 1, 2)


class _Fuzzer:
    """Talks to one connection after the other. ``kept`` are the messages that the listener acknowledged as they were sent."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._lock = threading.Lock()
        self._number = 0
        self.sent: set[int] = set()
        self.kept: set[int] = set()
        self.faults: list[str] = []
        self.turns = 0
        self.slowest = 0.0
        """The longest time in seconds from the end of a connection until the next one is subscribed."""
        self.ended_at: float | None = None

    def __call__(self, peer: Peer) -> None:
        with self._lock:
            self.turns += 1
            if self.ended_at is not None:
                self.slowest = max(self.slowest, time.monotonic() - self.ended_at)
            good = [self._next() for _ in range(self._rng.randrange(1, 30))]
            way = self._rng.choice(_WAYS)
            rng = random.Random(self._rng.random())
        stream = b"".join(
            publish_packet("chaos/fuzz", b"%d." % number, packet_id) for packet_id, number in enumerate(good, 1)
        )
        peer.link.sendall(stream + way(rng))
        peer.await_acknowledged(len(good), 2)
        ids = list(peer.acknowledged)
        with self._lock:
            known = ids[: len(good)]
            if known != list(range(1, len(known) + 1)):
                self.faults.append(f"PUBACKs out of turn: {ids[:10]}")
            self.kept |= {good[one - 1] for one in known}
            self.ended_at = time.monotonic()
        peer.close()

    def _next(self) -> int:
        self._number += 1
        return self._number


def _garbage(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randrange(1, 4_000))


def _flipped(rng: random.Random) -> bytes:
    whole = bytearray(b"".join(publish_packet("chaos/x", b"x" * rng.randrange(50), 1_000 + n) for n in range(20)))
    for _ in range(rng.randrange(1, 20)):
        whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
    return bytes(whole)


def _truncated(rng: random.Random) -> bytes:
    whole = publish_packet("chaos/x", bytes(rng.randrange(1, 5_000)), 1_000)
    return whole[: rng.randrange(1, len(whole))]


def _oversized(rng: random.Random) -> bytes:
    return b"\x32\xff\xff\xff\x7f" + rng.randbytes(rng.randrange(200_000))  # says 256 MiB, and has not


def _long_length(_rng: random.Random) -> bytes:
    return b"\x32\xff\xff\xff\xff\xff\x7f"


def _bad_properties(rng: random.Random) -> bytes:
    return publish_packet("chaos/x", b"x", 1_000, properties=rng.randbytes(rng.randrange(1, 100)))


def _bad_topic(rng: random.Random) -> bytes:
    body = struct.pack(">H", 60_000) + rng.randbytes(20)
    return b"\x32" + bytes((len(body),)) + body


def _other_packets(rng: random.Random) -> bytes:
    """Every type of packet, most of which a broker never sends."""
    return b"".join(
        bytes((rng.randrange(256), size)) + rng.randbytes(size) for size in (rng.randrange(30) for _ in range(20))
    )


def _flood(rng: random.Random) -> bytes:
    """Far more than the Receive Maximum, with packet ids repeatedly, and 0."""
    return publish_packet("chaos/x", b"y", rng.choice((0, 1_000))) * 60_000


_WAYS: Sequence[Callable[[random.Random], bytes]] = (
    _garbage,
    _flipped,
    _truncated,
    _oversized,
    _long_length,
    _bad_properties,
    _bad_topic,
    _other_packets,
    _flood,
)


def _fuzz(setting: Setting) -> Result:
    result = Result("hostile broker: malformed, truncated, oversized, flooding, wrong reason codes", what="connections")
    rng = setting.rng("hostile")
    wanted = setting.scaled(_CONNECTIONS, least=30)
    fuzzer = _Fuzzer(rng)
    with Rig(setting.folder) as rig, Firehose(fuzzer) as broker:
        rig.url = broker.url
        filters = (FILTER, "refused/#")
        listener = rig.listener(None, *filters, FMQ_RECONNECT_MAX_SECONDS=0.02, FMQ_LOG_LEVEL="ERROR")
        wait_for(lambda: broker.connections > 0, 60, what="the listener to connect")
        before = resident_bytes(listener.pid) / MIB
        for number in range(len(_CONNACKS) * 2):  # wrong reason codes first
            broker.connack = _CONNACKS[number % len(_CONNACKS)]
            had = broker.connections
            wait_for(lambda had=had: broker.connections > had, 30, what="another attempt")  # type: ignore[misc]
        broker.connack = b""
        fuzzer.slowest, fuzzer.ended_at = 0.0, None  # an answer that never ends is waited for, for 10 s
        # Not for every filter: one that is refused just before each end of a connection is asked for less and less often.
        broker.suback = lambda text: 1 if text == FILTER.encode() else rng.choice(_SUBACKS)
        wait_for(lambda: fuzzer.turns >= wanted or not listener.running, _DEADLINE, what=f"{wanted} connections")
        peak = peak_bytes(listener.pid) / MIB if listener.running else 0.0
        if not listener.running:
            result.faults.append(f"the listener ended: {listener.text[-1000:]}")
        elif (code := listener.terminate()) != 0:
            result.faults.append(f"exit code {code}: {listener.text[-1000:]}")
        result.faults += fuzzer.faults + [f"the broker failed: {error!r}" for error in broker.errors]
        if "Traceback" in listener.text:
            result.faults.append(f"a traceback: {listener.text[-1500:]}")
        result.recovered(fuzzer.slowest)
        result.lost = len(fuzzer.kept - _numbers(rig.database))
        result.messages = len(fuzzer.kept)
        if peak - before > _MEMORY_MIB:
            result.faults.append(f"memory grew from {before:.0f} to {peak:.0f} MiB")
        result.notes.append(f"most memory {peak:.0f} MiB, {before:.0f} MiB at the start")
    result.runs = broker.connections
    return result


def _numbers(database: Path) -> set[int]:
    (table,) = query(database, "SELECT table_name FROM fmq_queue WHERE name = ?", FILTER)[0]
    rows = query(database, f"SELECT CAST(payload AS TEXT) FROM \"{table}\" WHERE topic = 'chaos/fuzz'")
    return {int(head.partition(".")[0]) for (head,) in rows}


SCENARIOS: Sequence[Scenario] = (_fuzz,)
