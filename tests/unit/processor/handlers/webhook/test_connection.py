"""What a connection makes of answers, byte by byte, and when it may be used again."""

import asyncio

import pytest
from yarl import URL

from fmq.outcome import Reject, Retry
from fmq_processor.handlers.webhook import pool
from fmq_processor.handlers.webhook.address import Address
from support.target import Connection, Request, Target
from support.wait import wait_for
from support.webhook import deliver, kind_and_reason, make_handler, message, outcome


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 1),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 1),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 1),
        (b"HTTP/1.1 200 OK\ncontent-length: 0\n\n", 1),
        (
            b"HTTP/1.1 200 OK\r\n" + b"x-more: and more\r\n" * 1_500 + b"content-length: 40000\r\n\r\n" + b"x" * 40_000,
            1,
        ),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n", 1),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", 2),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", 2),
    ],
)
@pytest.mark.parametrize("step", [1, 20_000])
def test_good_answers(answer: bytes, connections: int, step: int) -> None:
    """They are understood however they are cut, and the connection is kept where HTTP allows it."""

    async def respond(_: Request, connection: Connection) -> None:
        size = max(step, len(answer) // 100)
        for first in range(0, len(answer), size):
            await connection.send(answer[first : first + size])
            await asyncio.sleep(0)

    with Target(respond) as target:
        assert deliver(make_handler(target.url), message(number=1), message(number=2)) == [None, None]
        assert target.connections == connections
        assert len(target.requests) == 2


def test_a_body_until_the_end_of_the_connection() -> None:
    """Without a length, the answer ends with the connection."""

    async def respond(_: Request, connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 400 Bad\r\n\r\nno such device")
        connection.writer.close()

    with Target(respond) as target:
        (result,) = deliver(make_handler(target.url), message())
    assert kind_and_reason(result) == (Reject, "HTTP 400 Bad Request: no such device")


@pytest.mark.parametrize("surplus", [b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n", b"what?"])
@pytest.mark.parametrize("at_once", [True, False])
def test_an_answer_without_a_request(surplus: bytes, at_once: bool) -> None:  # noqa: FBT001 - a parameter
    """It says nothing about the message before it or after it: the next one goes over another connection."""

    async def respond(_: Request, connection: Connection) -> None:
        good = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        for data in (good + surplus,) if at_once else (good, surplus):
            await connection.send(data)
        await connection.wait_for_its_end()

    async def run(target: Target) -> None:
        handler = make_handler(target.url)
        await handler.setup()
        for number in (1, 2):
            assert await outcome(handler.handle(message(number=number))) is None
            await asyncio.to_thread(wait_for, lambda: not target._tasks, 5)
        await handler.teardown()
        assert target.connections == 2

    with Target(respond) as target:
        asyncio.run(run(target))


def test_an_end_after_an_interim_answer() -> None:
    """The target has begun to answer, so the request is not sent again at once."""

    async def respond(_: Request, connection: Connection) -> None:
        if len(target.requests) == 1:
            await connection.answer()
        else:
            await connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await asyncio.sleep(0)
            connection.writer.close()

    with Target(respond) as target:
        first, second = deliver(make_handler(target.url), message(number=1), message(number=2))
    assert first is None
    assert type(second) is Retry
    assert len(target.requests) == 2


def test_an_endless_header() -> None:
    """It is given up, and takes no memory without a bound."""

    async def respond(_: Request, connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\n")
        while not connection.writer.is_closing():
            await connection.send(b"x-more: and more\r\n" * 1_000)

    with Target(respond) as target:
        (result,) = deliver(make_handler(target.url), message())
    kind, reason = kind_and_reason(result)
    assert kind is Retry
    assert "its header has more than 32768 bytes" in reason


def test_connections_that_wait_for_long_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target is not left with connections that nobody needs."""
    monkeypatch.setattr(pool, "_IDLE_SECONDS", 0.01)

    async def run(target: Target) -> None:
        handler = make_handler(target.url)
        await handler.setup()
        assert await outcome(handler.handle(message())) is None
        await asyncio.to_thread(wait_for, lambda: not target._tasks, 5)
        await handler.teardown()

    with Target() as target:
        asyncio.run(run(target))


def test_the_head_of_a_request() -> None:
    """Host and path are those of the URL; a user of the URL is an Authorization; no header can have a line break."""
    address = Address.of(URL("http://me:pässword@[::1]:8080/a b?c=ä#no"))
    head = address.head("POST", {"user-agent": "fmq"}, 7).decode()
    first, *lines = head.rstrip("\r\n").split("\r\n")
    assert first == "POST /a%20b?c=%C3%A4 HTTP/1.1"
    assert {"host: [::1]:8080", "accept: */*", "user-agent: fmq", "content-length: 7"} < set(lines)
    assert "authorization: Basic bWU6cORzc3dvcmQ=" in lines
    assert address.shown == "http://[::1]:8080"
    assert "host: elsewhere" in address.head("POST", {"host": "elsewhere"}, 0).decode().split("\r\n")
    with pytest.raises(ValueError, match="line break"):
        address.head("POST", {"x": "1\r\ny: 2"}, 0)
