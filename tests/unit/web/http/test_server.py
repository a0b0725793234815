"""The server on real sockets: slow, stuck and too many clients, rubbish, and its end."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest
from starlette.types import Receive, Scope, Send

from fmq.errors import FmqError, SettingsError
from fmq.service.http.health import Heartbeat
from fmq.service.lifecycle import Shutdown
from fmq_web.http.connections import Connection
from fmq_web.http.headers import ALWAYS
from fmq_web.http.server import PageServer, bind
from support.wait import wait_for

PIECE = b"x" * 65_536
PIECES = 60
_SLOW = b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"


class Hasty(Connection):
    """With limits that a test can wait for."""

    most = 3
    head_seconds = 0.4
    blocked_seconds = 1.0


class Few(Connection):
    """With few connections that may take their time."""

    most = 3


@dataclass(slots=True)
class Running:
    """A server and what its application saw."""

    port: int = 0
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    """The paths whose answers have ended."""
    failed: list[str] = field(default_factory=list)
    stop: Callable[[], None] = lambda: None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def connect(self) -> socket.socket:
        """A connection with a small buffer, so that a client that does not read is noticed soon."""
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.settimeout(10)
        one.connect(("127.0.0.1", self.port))
        return one

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """/big sends 4 MiB, /live sends until the stop, /body waits for a whole body, others answer at once."""
        path = scope["path"]
        self.begun.append(path)
        try:
            while path == "/body" and (await receive()).get("more_body"):
                pass
            await send({"type": "http.response.start", "status": 200, "headers": []})
            if path == "/big":
                for _ in range(PIECES):
                    await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            if path == "/live":
                await send({"type": "http.response.body", "body": b"hello", "more_body": True})
                await self.stopped.wait()
            await send({"type": "http.response.body", "body": b"bye"})
        except Exception:
            self.failed.append(path)
            raise
        finally:
            self.ended.append(path)


@contextmanager
def serving(protocol: type[Connection] = Hasty) -> Iterator[Running]:
    running, shutdown = Running(), Shutdown()
    bound = bind("127.0.0.1", 0)
    running.port = bound.getsockname()[1]
    server = PageServer(
        running.app,
        shutdown=shutdown,
        heartbeat=Heartbeat(),
        each_second=lambda: None,
        on_stop=running.stopped.set,
        grace=5,
        protocol=protocol,
    )
    thread = threading.Thread(target=server.serve_on, args=(bound,))
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield running
    finally:
        shutdown.request()
        thread.join(15)
        assert not thread.is_alive(), "the server has not ended"
        bound.close()
        shutdown.close()


def _read_all(one: socket.socket) -> bytes:
    """Everything until the server closes the connection, or resets it."""
    parts = []
    try:
        while part := one.recv(65_536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def _get(path: str = "/", *, close: bool = True) -> bytes:
    end = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{end}\r\n".encode()


@pytest.mark.parametrize("begun", [b"", b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_a_head_that_is_never_complete(begun: bytes) -> None:
    """The connection is closed (slowloris), however little or much of the head has come."""
    with serving() as running, running.connect() as one:
        one.sendall(begun)
        assert _read_all(one) == b""
        assert not running.ended


def test_a_head_that_drips() -> None:
    """Each byte on its own does not begin the time anew; neither does a request before it."""
    with serving() as running, running.connect() as one:
        one.sendall(_get(close=False))
        wait_for(lambda: running.ended)
        one.settimeout(0.05)
        data = b""

        def closed() -> bool:
            nonlocal data
            try:
                one.sendall(b"G")
                part = one.recv(65_536)
            except TimeoutError:
                return False
            except OSError:
                return True
            data += part
            return not part

        wait_for(closed, 5)
        assert b"400 Bad Request" not in data
        assert running.ended == ["/"]


def test_a_client_that_reads_nothing_is_closed_and_a_slow_one_is_not() -> None:
    """For so long as no byte leaves. The slow one takes much longer in all, and gets everything."""
    with serving() as running, running.connect() as stuck, running.connect() as slow:
        stuck.sendall(_get("/big"))
        slow.sendall(_get("/big"))
        received, pause = 0, threading.Event()
        while "/big" not in running.ended or received < 8 * 65_536:
            received += len(slow.recv(65_536))
            pause.wait(0.05)  # slowness is what this test is about
        received += len(_read_all(slow))
        assert received > PIECES * len(PIECE)
        wait_for(lambda: running.ended == ["/big"] * 2)
        assert len(_read_all(stuck)) < PIECES * len(PIECE)


def test_without_the_limit_the_stuck_client_would_stay() -> None:
    """The control: it is the limit that ends it."""

    class Patient(Hasty):
        blocked_seconds = 60.0

    with serving(Patient) as running, running.connect() as stuck:
        stuck.sendall(_get("/big"))
        assert not threading.Event().wait(3 * Hasty.blocked_seconds)
        assert not running.ended


def test_too_many_connections() -> None:
    """A new one replaces an idle one; while all are in use, it is closed."""
    with serving() as running, ExitStack() as stack:
        busy = [stack.enter_context(running.connect()) for _ in range(2)]
        for one in busy:
            one.sendall(_get("/live"))
            assert one.recv(4096)
        idle = stack.enter_context(running.connect())
        third = stack.enter_context(running.connect())
        assert _read_all(idle) == b""
        third.sendall(_get("/live"))
        assert third.recv(4096)
        fourth = stack.enter_context(running.connect())
        assert _read_all(fourth) == b""
    assert running.ended == ["/live"] * 3


def test_too_many_bodies_that_never_end() -> None:
    """Requests without their whole bodies keep nobody out. Connections without a request give way before them."""
    with serving(Few) as running, ExitStack() as stack:
        slow = [stack.enter_context(running.connect()) for _ in range(2)]
        for one in slow:
            one.sendall(_SLOW)
        wait_for(lambda: running.begun == ["/body"] * 2)
        idle = stack.enter_context(running.connect())
        for path in ("/live", "/live", "/live"):
            other = stack.enter_context(running.connect())
            other.sendall(_get(path))
            assert other.recv(4096)
            assert _read_all(idle) == b""
        assert [_read_all(one) for one in slow] == [b"", b""]
        assert sorted(running.ended) == ["/body"] * 2


def test_a_broken_body() -> None:
    """400, once. The answer of the application is dropped, and its log has no error."""
    with serving() as running, running.connect() as one:
        one.sendall(_SLOW.replace(b"/body", b"/") + b"xyz\r\n")
        answer = _read_all(one)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1") == 1
        wait_for(lambda: running.ended)
        assert not running.failed


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 246_000,
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_rubbish(rubbish: bytes) -> None:
    """400 with the headers that every answer has, and the end of the connection."""
    with serving() as running, running.connect() as one:
        one.sendall(rubbish)
        answer = _read_all(one).decode()
        assert answer.startswith("HTTP/1.1 400 ")
        assert all(f"{name.lower()}: {value}" in answer.replace(name, name.lower()) for name, value in ALWAYS.items())
        assert not running.ended


def test_a_body_that_nobody_reads_ends() -> None:
    """A GET whose body never ends does not hold its connection."""
    with serving() as running, running.connect() as one:
        one.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nx")
        assert _read_all(one).startswith(b"HTTP/1.1 200")
        assert running.ended == ["/"]


def test_the_end() -> None:
    """Live streams say goodbye, requests finish, and the port is free."""
    with serving() as running, running.connect() as one:
        one.sendall(_get("/live"))
        assert one.recv(4096)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", running.port), 5)


def test_bind() -> None:
    """A taken port may become free (exit code 1). An address of another machine never fits (exit code 2)."""
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(FmqError, match=f"FMQ_WEB_PORT={port}") as taken:
            bind("127.0.0.1", port)
        assert not isinstance(taken.value, SettingsError)
    for host in ("192.0.2.1", "no such host", "\udcff"):
        with pytest.raises(SettingsError, match="FMQ_WEB_HOST="):
            bind(host, 0)
    with bind("::1", 0) as sixth:
        assert sixth.family == socket.AF_INET6
