"""A program: the plainest one that does what a built-in handler does. Arguments: kind, target, messages, at once.

Prints seconds and seconds of processor time as a JSON list. Its payloads are made beforehand.
"""

import asyncio
import json
import os
import queue
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
import httpx
import psycopg
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bench.handlers import nothing
from bench.measure import TOPIC, reading
from fmq.message import Incoming
from fmq.outcome import Done
from fmq.store.backends import open_store
from fmq.store.options import Durability, StoreOptions

_READ = 65_536
_ROW = "INSERT INTO message (message_key, topic, payload, received_at) VALUES (%s, %s, %s, to_timestamp(%s)) ON CONFLICT DO NOTHING"
_COPY = "COPY message (message_key, topic, payload, received_at) FROM STDIN"


def _chunks(payloads: Sequence[bytes], size: int) -> list[Sequence[bytes]]:
    return [payloads[first : first + size] for first in range(0, len(payloads), size)]


def _at_once(payloads: Sequence[bytes], at_once: int, send: Callable[[bytes], Awaitable[None]]) -> Callable[[], Any]:
    async def work(waiting: list[bytes]) -> None:
        while waiting:
            await send(waiting.pop())

    async def run() -> None:
        waiting = list(payloads)
        await asyncio.gather(*[work(waiting) for _ in range(at_once)])

    return run


async def by_aiohttp(url: str, payloads: Sequence[bytes], at_once: int) -> tuple[float, float]:
    """One session, no headers of its own."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def send(body: bytes) -> None:
            async with session.post(url, data=body) as answer:
                await answer.read()

        return await _timed_async(_at_once(payloads, at_once, send))


async def by_httpx(url: str, payloads: Sequence[bytes], at_once: int) -> tuple[float, float]:
    """One client, no headers of its own."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=at_once)
    async with httpx.AsyncClient(limits=limits) as client:

        async def send(body: bytes) -> None:
            await client.post(url, content=body)

        return await _timed_async(_at_once(payloads, at_once, send))


def executemany(url: str, payloads: Sequence[bytes], at_once: int) -> tuple[float, float]:
    """One transaction per batch."""
    with psycopg.connect(url) as connection:

        def run() -> None:
            for number, some in enumerate(_chunks(payloads, at_once)):
                rows = [(f"{number}-{index}", TOPIC, one, time.time()) for index, one in enumerate(some)]
                with connection.transaction(), connection.cursor() as cursor:
                    cursor.executemany(_ROW, rows)

        return _timed(run)


def copy(url: str, payloads: Sequence[bytes], at_once: int) -> tuple[float, float]:
    """One COPY per batch, which fails on a row that exists."""
    with psycopg.connect(url) as connection:

        def run() -> None:
            now = datetime.now(UTC)
            for number, some in enumerate(_chunks(payloads, at_once)):
                with connection.transaction(), connection.cursor() as cursor, cursor.copy(_COPY) as rows:
                    for index, one in enumerate(some):
                        rows.write_row((f"{number}-{index}", TOPIC, one, now))

        return _timed(run)


def append(path: str, payloads: Sequence[bytes], at_once: int) -> tuple[float, float]:
    """A line of JSON per message; write and fsync per batch."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def run() -> None:
        for some in _chunks(payloads, at_once):
            lines = [json.dumps({"topic": TOPIC, "payload": one.decode(), "at": time.time()}) for one in some]
            os.write(file, ("\n".join(lines) + "\n").encode())
            os.fsync(file)

    return _timed(run)


def put(url: str, payloads: Sequence[bytes], at_once: int) -> tuple[float, float]:
    """One commit per batch, with the same durability."""
    with open_store(url, StoreOptions(durability=Durability.FULL)) as store:
        store.declare(TOPIC)

        def run() -> None:
            for some in _chunks(payloads, at_once):
                store.put([Incoming(TOPIC, TOPIC, one, time.time()) for one in some])

        return _timed(run)


def by_paho(port: str, payloads: Sequence[bytes], at_once: int) -> tuple[float, float]:
    """QoS 1 with a window, by the usual client and its thread."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(0)
    answers: queue.SimpleQueue[int] = queue.SimpleQueue()
    client.on_publish = lambda _client, _userdata, mid, _reason, _properties: answers.put(mid)
    client.on_connect = lambda *_: answers.put(0)
    client.connect("127.0.0.1", int(port))
    client.loop_start()
    answers.get()

    def run() -> None:
        unanswered = 0
        for one in payloads:
            if unanswered == at_once:
                answers.get()
                unanswered -= 1
            client.publish("copy", one, 1)
            unanswered += 1
        for _ in range(unanswered):
            answers.get()

    return _timed(run)


def publisher(port: str, payloads: Sequence[bytes], at_once: int) -> tuple[float, float]:
    """QoS 1 with a window that slides, by bytes on a socket: the limit."""
    with socket.create_connection(("127.0.0.1", int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(b"\x10\x15\0\4MQTT\5\2\0\0\0\0\x08raw-copy")
        connection.recv(_READ)

        def run() -> None:
            sent = answered = 0
            data = b""
            while answered < len(payloads):
                until = min(len(payloads), answered + at_once)
                connection.sendall(b"".join([_publish(number, payloads[number]) for number in range(sent, until)]))
                sent = until
                data += connection.recv(_READ)
                # Otherwise Mosquitto's kernel holds the next PUBACK back until ours confirms this one, after 40 ms.
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                at = 0
                while at + 2 <= len(data) and (stop := at + 2 + data[at + 1]) <= len(data):
                    answered += 1
                    at = stop
                data = data[at:]

        return _timed(run)


def _publish(number: int, payload: bytes) -> bytes:
    body = b"\0\4copy" + struct.pack(">H", number % 65_535 + 1) + b"\0" + payload
    return b"\x32" + bytes((len(body) % 128 | 128, len(body) // 128)) + body


def spawn(program: str, payloads: Sequence[bytes], at_once: int) -> tuple[float, float]:
    """posix_spawn with the payload in a file as standard input; up to ``at_once`` programs at once."""

    def run() -> None:
        running = 0
        for one in payloads:
            if running == at_once:
                os.wait()
                running -= 1
            stdin = os.memfd_create("input")
            os.write(stdin, one)
            os.lseek(stdin, 0, os.SEEK_SET)
            os.posix_spawn(program, [program], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, stdin, 0)])
            os.close(stdin)
            running += 1
        for _ in range(running):
            os.wait()

    return _timed(run)


def loop(url: str, payloads: Sequence[bytes], at_once: int) -> tuple[float, float]:
    """Claim, call a function for each message, settle: on a store that is filled already."""
    with open_store(url, StoreOptions(durability=Durability.NORMAL)) as store:

        def run() -> None:
            left = len(payloads)
            while left:
                claims = store.claim(TOPIC, at_once, lease=60)
                for claim in claims:
                    nothing(claim.message)
                store.settle([(claim, Done()) for claim in claims])
                left -= len(claims)

        return _timed(run)


def _timed(run: Callable[[], None]) -> tuple[float, float]:
    began, before = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - began, time.process_time() - before


async def _timed_async(run: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    began, before = time.perf_counter(), time.process_time()
    await run()
    return time.perf_counter() - began, time.process_time() - before


_KINDS: dict[str, Callable[[str, Sequence[bytes], int], Any]] = {
    one.__name__.removeprefix("by_"): one
    for one in (by_aiohttp, by_httpx, executemany, copy, append, put, by_paho, publisher, spawn, loop)
}


def main() -> None:
    kind, where, count, at_once = sys.argv[1:]
    payloads = [reading(number) for number in range(int(count))]
    result = _KINDS[kind](where, payloads, int(at_once))
    sys.stdout.write(json.dumps(asyncio.run(result) if asyncio.iscoroutine(result) else result))
    sys.stdout.flush()
    os._exit(0)  # paho's thread


if __name__ == "__main__":
    main()
