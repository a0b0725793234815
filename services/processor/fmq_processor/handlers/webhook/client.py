"""Sends requests over persistent connections, and distinguishes an unreachable target from a bad answer."""

import asyncio
import io
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import ClientTimeout, DummyCookieJar, TCPConnector, TraceConfig
from yarl import URL

from fmq.outcome import Reject, Retry, Unavailable
from fmq.service.tls import TlsFiles, explain_tls, take_failure
from fmq_processor.handlers.webhook.metrics import WebhookMetrics
from fmq_processor.handlers.webhook.policy import Answer
from fmq_processor.handlers.webhook.settings import WebhookSettings

_FOLLOWED = frozenset({301, 302, 307, 308})
_MOST_READ = 64 * 1024  # of an answer's body; with more to come, its connection is closed
_EXCERPT = 200
_LARGE = 1024 * 1024
"""A larger body goes to aiohttp as a file, so that it does not block the event loop."""


@dataclass(slots=True)
class _Progress:
    """How far a request has come."""

    reused: bool = False
    """It was sent on a connection that existed before."""
    answer: Answer | None = None
    """The status has arrived, but perhaps not the whole body."""


class Client:
    """One target. ``start`` and ``close`` belong to the event loop that ``send`` runs in."""

    def __init__(self, settings: WebhookSettings, tls: TlsFiles, metrics: WebhookMetrics) -> None:
        self._settings = settings
        self._tls = tls
        self._metrics = metrics
        self._url = URL(settings.webhook_url)
        self._session: aiohttp.ClientSession

    @property
    def target(self) -> str:
        """Scheme, host and port, the part of the URL that may be shown."""
        return str(self._url.origin())

    async def start(self) -> None:
        """Make the pool of connections; none is opened yet."""
        tracing = TraceConfig()
        tracing.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            # How many there are at once is the processor's business.
            connector=TCPConnector(limit=0),
            timeout=ClientTimeout(
                total=None,  # send() sees to it, over all hops
                sock_connect=self._settings.webhook_connect_timeout,
                sock_read=self._settings.webhook_read_timeout,
            ),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trace_configs=[tracing],
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """One delivery. Raises Unavailable if the target was not reached, Retry without a proper answer."""
        seconds, progress = self._settings.webhook_timeout, _Progress()
        try:
            async with asyncio.timeout(seconds):
                return await self._follow(body, headers, progress)
        except TimeoutError:
            if progress.answer is not None:
                return progress.answer
            raise Unavailable(reason=f"{self.target} did not answer within {seconds:g} s") from None

    async def _follow(self, body: bytes, headers: Mapping[str, str], progress: _Progress) -> Answer:
        url, secret = self._url, dict(self._settings.secret_headers)
        for _ in range(self._settings.webhook_redirects):
            answer = await self._send_to(url, body, {**headers, **secret}, progress)
            if answer.status not in _FOLLOWED or answer.location is None:
                return answer
            url = _next(url, answer)
            if url.origin() != self._url.origin():
                secret = {}
        return await self._send_to(url, body, {**headers, **secret}, progress)

    async def _send_to(self, url: URL, body: bytes, headers: Mapping[str, str], progress: _Progress) -> Answer:
        try:
            return await self._request(url, body, headers, progress)
        except aiohttp.ClientError as error:
            if not progress.reused or not isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
                raise _explained(url, error, self._tls.context()) from None
        # The target had closed a kept-alive connection just then. It says nothing of the message, and a second
        # delivery does no harm: its id is the same.
        try:
            return await self._request(url, body, headers, progress)
        except aiohttp.ClientError as error:
            raise _explained(url, error, self._tls.context()) from None

    async def _request(self, url: URL, body: bytes, headers: Mapping[str, str], progress: _Progress) -> Answer:
        progress.reused, progress.answer = False, None
        began, status = time.perf_counter(), 0
        try:
            async with self._session.request(
                self._settings.webhook_method,
                url,
                data=body if len(body) <= _LARGE else io.BytesIO(body),
                headers=headers,
                # Connections are shared by requests with the same context: a new one after the files have changed.
                ssl=self._tls.context(),
                allow_redirects=False,
                trace_request_ctx=progress,
            ) as response:
                status = response.status
                progress.answer = answer = Answer(
                    status, response.headers.get("retry-after"), "", response.headers.get("location")
                )
                return answer._replace(excerpt=await _excerpt(response))
        finally:
            self._metrics.requests.labels(f"{status // 100}xx" if 100 <= status < 600 else "none").inc()
            self._metrics.request_seconds.observe(time.perf_counter() - began)


async def _note_reuse(_: aiohttp.ClientSession, context: SimpleNamespace, __: Any) -> None:  # noqa: ANN401 - as aiohttp calls it
    context.trace_request_ctx.reused = True


async def _excerpt(response: aiohttp.ClientResponse) -> str:
    """The beginning of the body in one line. The status is known, so an incomplete body does no harm."""
    data = b""
    try:
        while len(data) < _MOST_READ and (chunk := await response.content.read(_MOST_READ - len(data))):
            data += chunk
    except (aiohttp.ClientError, TimeoutError):
        response.close()
    if response.headers.get("content-encoding", "identity") != "identity":
        return ""
    return _one_line(data[: 8 * _EXCERPT].decode(errors="replace"))


def _one_line(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _EXCERPT else f"{line[:_EXCERPT]}…"


def _next(url: URL, answer: Answer) -> URL:
    """The target of a redirect. Raises Reject if it must not be followed."""
    try:
        target = url.join(URL(answer.location or ""))
        shown = str(target.origin())
    except ValueError:
        raise Reject(f"HTTP {answer.status}: it redirects to something that is not the URL of a server") from None
    if target.scheme not in ("http", "https") or (url.scheme == "https" and target.scheme == "http"):
        raise Reject(f"HTTP {answer.status}: it redirects from {url.origin()} to {shown}, which is not followed")
    # A user that the redirect itself names is ignored, as browsers do.
    target = target.with_user(None)
    return target.with_user(url.user).with_password(url.password) if target.origin() == url.origin() else target


def _explained(url: URL, error: aiohttp.ClientError, context: ssl.SSLContext) -> Retry:
    target = url.origin()
    tls = _tls_error(error, context)
    if tls is not None:
        return Unavailable(reason=explain_tls(tls, str(target)))
    match error:
        case aiohttp.ClientConnectorError():
            return Unavailable(reason=f"{target} was not reached: {error.os_error.strerror or error.os_error}")
        case aiohttp.ConnectionTimeoutError():
            return Unavailable(reason=f"{target} was not reached: connecting took too long")
        case aiohttp.ServerTimeoutError():
            return Unavailable(reason=f"{target} was silent for too long")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return Retry(reason=f"{target} closed the connection and gave no answer")
        case aiohttp.ClientResponseError():
            return Retry(reason=_one_line(f"{target} did not answer with HTTP: {error.message}"))
        case _:
            return Retry(reason=f"{target} gave no proper answer: {type(error).__name__}")


def _tls_error(error: aiohttp.ClientError, context: ssl.SSLContext) -> ssl.SSLError | None:
    """The TLS failure, if any: asyncio reports a rejection after the handshake as a closed connection."""
    late = take_failure(context)
    known = (getattr(error, "certificate_error", None), getattr(error, "os_error", None), late)
    return next((one for one in known if isinstance(one, ssl.SSLError)), None)
