"""What a webhook handler makes of a target, good or bad: a real HTTP server on a real socket."""

import asyncio
import threading
from email.utils import formatdate

import pytest
from prometheus_client import CollectorRegistry

from fmq.message import Properties
from fmq.outcome import Reject, Retry, Unavailable
from fmq_processor.handlers.webhook.handler import WebhookHandler
from support.clock import FakeClock
from support.target import Connection, Request, Target
from support.webhook import always, deliver, kind_and_reason, make_handler, message, outcome, result_of


def test_what_arrives() -> None:
    """The payload as it is, by the method asked for, with headers that tell of the message."""
    properties = Properties(
        content_type="text/plain",
        user_properties=(
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("tracestate", "a=1"),
        ),
    )
    with Target() as target:
        handler = make_handler(target.url, method="PUT", headers='{"X-Tenant": "blue"}')
        assert deliver(handler, message(b"\x00\xff", topic="sensors/ä b/\r\nx", properties=properties)) == [None]
    (request,) = target.requests
    assert (request.method, request.path, request.body) == ("PUT", "/hook", b"\x00\xff")
    expected = {
        "content-type": "text/plain",
        "x-tenant": "blue",
        "fmq-topic": "sensors/%C3%A4%20b/%0D%0Ax",
        "fmq-queue": "sensors/+/temp",
        "fmq-id": "1",
        "fmq-attempt": "3",
        "fmq-received-at": "2025-11-24T16:00:00.250000Z",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "a=1",
    }
    assert expected.items() <= request.headers.items()
    assert request.headers["webhook-id"].startswith("msg_")
    assert "webhook-signature" not in request.headers


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("200 OK", None),
        ("202 Accepted", None),
        ("204 No Content", None),
        ("299 Odd", None),
        ("301 Moved Permanently", Reject),
        ("304 Not Modified", Reject),
        ("400 Bad Request", Reject),
        ("401 Unauthorized", Unavailable),
        ("403 Forbidden", Reject),
        ("404 Not Found", Reject),
        ("410 Gone", Reject),
        ("408 Request Timeout", Retry),
        ("425 Too Early", Retry),
        ("429 Too Many Requests", Unavailable),
        ("500 Internal Server Error", Retry),
        ("502 Bad Gateway", Unavailable),
        ("503 Service Unavailable", Unavailable),
        ("504 Gateway Timeout", Unavailable),
        ("599 Odd", Retry),
    ],
)
def test_the_status_decides(status: str, kind: type | None) -> None:
    """Done, dead, once more, or the target is down; the reason has the status and the beginning of the body."""
    body = b"" if status.startswith(("204", "304")) else b"<p>no\n\tsuch\x00 thing</p>"
    with Target(always(status, body=body)) as target:
        result = result_of(target)
    assert type(result) is (kind or type(None))
    if kind:
        number = status.partition(" ")[0]
        reason = kind_and_reason(result)[1]
        assert reason.startswith(f"HTTP {number}")
        assert "<p>no such thing</p>" in reason or not body


@pytest.mark.parametrize(
    ("header", "after"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("99999999999999999999", 3600.0),
        (formatdate(FakeClock().wall() + 90, usegmt=True), 90.0),
        (formatdate(FakeClock().wall() - 90, usegmt=True), 0.0),
        (formatdate(FakeClock().wall() + 1e6, usegmt=True), 3600.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable", "500 Internal Server Error"])
def test_retry_after_is_honoured_up_to_the_cap(status: str, header: str, after: float | None) -> None:
    """As seconds and as a date; what is neither is left to the backoff."""
    with Target(always(status, f"retry-after: {header}")) as target:
        (result,) = deliver(make_handler(target.url, clock=FakeClock()), message())
    assert isinstance(result, Retry)
    assert result.after == after


def test_a_redirect_is_followed_only_when_asked() -> None:
    """By the same method with the same body; without the setting, or beyond its number, the message is dead."""

    async def respond(request: Request, connection: Connection) -> None:
        if request.path == "/new":
            await connection.answer()
        else:
            await connection.answer(
                "308 Permanent Redirect", "location: /new" if "hook" in request.path else "location: ?x"
            )

    with Target(respond) as target:
        kind, reason = kind_and_reason(result_of(target))
        assert kind is Reject
        assert "308 Permanent Redirect" in reason
        assert "FMQ_WEBHOOK_REDIRECTS" in reason
        assert result_of(target, redirects=1) is None
    assert [(one.method, one.path, one.body) for one in target.requests[1:]] == [
        ("POST", "/hook", b"21.5"),
        ("POST", "/new", b"21.5"),
    ]


def test_a_loop_of_redirects_ends() -> None:
    """Dead, after as many requests as were allowed."""
    with Target(always("307 Temporary Redirect", "location: /hook")) as target:
        assert isinstance(result_of(target, redirects=3), Reject)
    assert len(target.requests) == 4


@pytest.mark.parametrize("elsewhere", [True, False])
def test_secrets_do_not_follow_a_redirect_to_another_server(elsewhere: bool) -> None:  # noqa: FBT001 - a parameter
    """Neither the user of the URL nor the secret headers; the message does. On the same server they do as well."""

    async def respond(request: Request, connection: Connection) -> None:
        if request.path == "/hook":
            there = (other if elsewhere else target).url.replace("/hook", "/new").replace("//", "//some:body@")
            await connection.answer("307 Temporary Redirect", f"location: {there}")
        else:
            await connection.answer()

    with Target(respond) as other, Target(respond) as target:
        url = target.url.replace("http://", "http://me:secret@")
        handler = make_handler(url, redirects=1, secret_headers='{"X-Key": "secret"}')  # noqa: S106 - looked for below
        assert deliver(handler, message()) == [None]
        first, *rest = target.requests
        (last,) = other.requests if elsewhere else rest
    assert first.headers["x-key"] == "secret"
    assert first.headers["authorization"].startswith("Basic ")
    assert first.headers["authorization"] == last.headers.get("authorization", first.headers["authorization"])
    assert {"x-key", "authorization"} & set(last.headers) == (set() if elsewhere else {"x-key", "authorization"})
    assert (last.path, last.body) == ("/new", b"21.5")


@pytest.mark.parametrize("location", ["ftp://example.com/", "http://[", "mailto:me@example.com", "//"])
def test_a_redirect_to_no_server_is_dead(location: str) -> None:
    """With the reason."""
    with Target(always("307 Temporary Redirect", f"location: {location}")) as target:
        assert kind_and_reason(result_of(target, redirects=5))[0] is Reject


def test_a_refused_connection_is_no_fault_of_the_message() -> None:
    """The target is down, and the reason shows no more of the URL than its host and port."""
    with Target() as target:
        url = target.url.replace("http://", "http://me:secret@") + "?key=secret"
    (result,) = deliver(make_handler(url), message())
    kind, reason = kind_and_reason(result)
    assert kind is Unavailable
    assert reason.startswith("http://127.0.0.1:")
    assert "secret" not in reason
    assert "hook" not in reason


def test_a_name_that_nobody_knows() -> None:
    """The same."""
    (result,) = deliver(make_handler("http://nowhere.invalid/"), message())
    assert kind_and_reason(result)[0] is Unavailable


def test_a_target_that_says_nothing() -> None:
    """It is silent for too long: down; the connection is closed."""

    async def respond(_: Request, connection: Connection) -> None:
        await connection.wait_for_its_end()

    with Target(respond) as target:
        kind, reason = kind_and_reason(result_of(target, read_timeout=0.1))
        assert (kind, reason) == (Unavailable, f"{target.url.removesuffix('/hook')} was silent for too long")
        assert kind_and_reason(result_of(target, timeout=0.1))[1].endswith("did not answer within 0.1 s")


def test_a_slow_body_after_a_good_status_is_done() -> None:
    """The target has said yes; what it says beyond does not count, however slowly it comes."""

    async def respond(_: Request, connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx")
        await connection.wait_for_its_end()

    with Target(respond) as target:
        assert result_of(target, read_timeout=0.1) is None
        assert result_of(target, timeout=0.1) is None


def test_a_reset_in_the_middle() -> None:
    """Before the status it is a failure of this message; after it, the status counts."""

    async def respond(request: Request, connection: Connection) -> None:
        if b"early" in request.body:
            await connection.send(b"HTTP/1.1 20")
        else:
            await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx")
        connection.reset()

    with Target(respond) as target:
        early, late = deliver(make_handler(target.url), message(b"early"), message(b"late"))
    kind, reason = kind_and_reason(early)
    assert kind is Retry
    assert "closed the connection" in reason
    assert late is None


def test_a_huge_answer_is_not_read() -> None:
    """A little of it, then the connection is closed; its status counts."""
    sent = 0

    async def respond(request: Request, connection: Connection) -> None:
        nonlocal sent
        status = b"200 OK" if b"good" in request.body else b"400 Bad"
        await connection.send(b"HTTP/1.1 %s\r\ncontent-length: 10000000000\r\n\r\n" % status)
        while True:
            await connection.send(b"x" * 65_536)
            sent += 65_536

    with Target(respond) as target:
        good, bad = deliver(make_handler(target.url), message(b"good"), message(b"bad"))
    assert good is None
    assert kind_and_reason(bad) == (Reject, f"HTTP 400 Bad Request: {'x' * 200}…")
    assert sent < 50_000_000  # what fits into the buffers of both sockets


@pytest.mark.parametrize(
    "answer",
    [
        b"what?\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x00\xff" * 100,
    ],
)
def test_an_answer_that_is_no_http(answer: bytes) -> None:
    """A failure of this message, with a short reason."""

    async def respond(_: Request, connection: Connection) -> None:
        await connection.send(answer)
        connection.writer.close()

    with Target(respond) as target:
        kind, reason = kind_and_reason(result_of(target))
    assert kind is Retry
    assert len(reason) <= 201


def test_connections_are_kept() -> None:
    """One after the other, messages go over one connection."""
    with Target() as target:
        assert deliver(make_handler(target.url), *(message(number=n) for n in range(50))) == [None] * 50
        assert target.connections == 1


def test_a_kept_connection_that_was_closed_meanwhile_costs_no_attempt() -> None:
    """The request goes out once more over a new one, with the same id."""

    async def respond(request: Request, connection: Connection) -> None:
        if request.headers["fmq-id"] == "2" and len(target.requests) == 2:
            connection.reset()  # as if it had been closed just before: no byte of an answer
        else:
            await connection.answer()

    with Target(respond) as target:
        assert deliver(make_handler(target.url), message(number=1), message(number=2)) == [None, None]
    assert [one.headers["fmq-id"] for one in target.requests] == ["1", "2", "2"]
    assert len({one.headers["webhook-id"] for one in target.requests[1:]}) == 1


def test_a_new_connection_that_is_closed_is_a_failure() -> None:
    """Or a message that kills its target would kill it twice an attempt."""

    async def respond(_: Request, connection: Connection) -> None:
        connection.reset()

    with Target(respond) as target:
        assert type(result_of(target)) is Retry
    assert len(target.requests) == 1


@pytest.mark.filterwarnings("error")
def test_a_large_payload() -> None:
    """Many megabytes, whole."""
    payload = bytes(range(256)) * 40_000
    with Target() as target:
        assert deliver(make_handler(target.url), message(payload)) == [None]
    assert target.requests[0].body == payload


def test_a_target_that_refuses_a_large_payload_before_it_has_come() -> None:
    """Its answer counts, although the connection breaks while the payload is sent."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def run() -> Exception | None:
        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            handler = make_handler(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            await handler.setup()
            result = await outcome(handler.handle(message(bytes(20_000_000))))
            await handler.teardown()
            return result

    assert kind_and_reason(asyncio.run(run()))[0] is Reject


def test_what_is_counted() -> None:
    """Requests by the class of their status, and their time."""
    registry = CollectorRegistry()
    with Target(always("204 No Content")) as target:
        deliver(make_handler(target.url, registry=registry), message(), message())
    deliver(make_handler(target.url, registry=(down := CollectorRegistry())), message())
    assert registry.get_sample_value("fmq_webhook_requests_total", {"status": "2xx"}) == 2
    assert registry.get_sample_value("fmq_webhook_requests_total", {"status": "5xx"}) == 0
    assert registry.get_sample_value("fmq_webhook_request_seconds_count") == 2
    assert down.get_sample_value("fmq_webhook_requests_total", {"status": "none"}) == 1


def test_a_call_that_is_cancelled_closes_its_connection() -> None:
    """As the processor does when FMQ_HANDLER_TIMEOUT is over."""
    arrived, closed = threading.Event(), threading.Event()

    async def respond(_: Request, connection: Connection) -> None:
        arrived.set()
        await connection.wait_for_its_end()
        closed.set()

    async def cancel(handler: WebhookHandler) -> None:
        await handler.setup()
        task = asyncio.create_task(handler.handle(message()))
        assert await asyncio.to_thread(arrived.wait, 10)
        task.cancel()
        assert await asyncio.to_thread(closed.wait, 10)
        assert task.cancelled()
        await handler.teardown()

    with Target(respond) as target:
        asyncio.run(cancel(make_handler(target.url)))
