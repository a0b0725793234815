"""Sends requests over persistent connections, and distinguishes an unreachable target from a bad answer."""

import asyncio
import ssl
import time

from yarl import URL

from fmq.outcome import Reject, Retry, Unavailable
from fmq.service.tls import TlsFiles, explain_tls, take_failure
from fmq_processor.handlers.webhook.address import Address
from fmq_processor.handlers.webhook.connection import Ended, NotHttp, Silent, one_line
from fmq_processor.handlers.webhook.metrics import WebhookMetrics
from fmq_processor.handlers.webhook.policy import Answer
from fmq_processor.handlers.webhook.pool import Pool
from fmq_processor.handlers.webhook.settings import WebhookSettings

_FOLLOWED = frozenset({301, 302, 307, 308})
_FAILURES = (OSError, Ended, NotHttp, Silent)  # TimeoutError is an OSError


class Client:
    """One target. ``start`` and ``close`` belong to the event loop that ``send`` runs in."""

    def __init__(self, settings: WebhookSettings, tls: TlsFiles, metrics: WebhookMetrics) -> None:
        self._method = settings.webhook_method
        self._seconds = settings.webhook_timeout
        self._redirects = settings.webhook_redirects
        self._settings = settings
        self._tls = tls
        self._metrics = metrics
        self.address = Address.of(URL(settings.webhook_url))
        self._pool: Pool

    @property
    def target(self) -> str:
        """Scheme, host and port, the part of the URL that may be shown."""
        return self.address.shown

    async def start(self) -> None:
        """Make the pool of connections; none is opened yet."""
        self._pool = Pool(
            connect_seconds=self._settings.webhook_connect_timeout, read_seconds=self._settings.webhook_read_timeout
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    async def send(self, body: bytes, headers: dict[str, str]) -> Answer:
        """One delivery. Raises Unavailable if the target was not reached, Retry without a proper answer."""
        deadline = asyncio.get_running_loop().time() + self._seconds
        address, secret = self.address, self._settings.secret_headers
        for _ in range(self._redirects):
            answer = await self._send_to(address, body, {**headers, **dict(secret)}, deadline)
            if answer.status not in _FOLLOWED or answer.location is None:
                return answer
            address = _next(address.url, answer)
            if address.shown != self.address.shown:
                secret = ()
        return await self._send_to(address, body, {**headers, **dict(secret)} if secret else headers, deadline)

    async def _send_to(self, address: Address, body: bytes, headers: dict[str, str], deadline: float) -> Answer:
        # Connections are shared by requests with the same context: a new one after the files have changed.
        context = self._tls.context() if address.url.scheme == "https" else None
        head = address.head(self._method, headers, len(body))
        try:
            try:
                return await self._request(address, context, head, body, deadline)
            except _Again:
                return await self._request(address, context, head, body, deadline, is_new=True)
        except _FAILURES as error:
            if asyncio.get_running_loop().time() >= deadline and isinstance(error, TimeoutError):
                raise Unavailable(reason=f"{self.target} did not answer within {self._seconds:g} s") from None
            raise _explained(address.shown, error, context) from None

    async def _request(
        self,
        address: Address,
        context: ssl.SSLContext | None,
        head: bytes,
        body: bytes,
        deadline: float,
        *,
        is_new: bool = False,
    ) -> Answer:
        """Raises _Again if the target had just closed a connection that was kept."""
        began, status = time.perf_counter(), 0
        connection = None if is_new else self._pool.idle(address, context)
        is_kept = connection is not None
        try:
            if connection is None:
                connection = await self._pool.connect(address, context, deadline=deadline)
            answer = await connection.exchange(head, body, deadline=deadline)
            status = answer.status
        except Ended as error:
            if is_kept and error.nothing_came:
                raise _Again from None
            raise
        finally:
            self._metrics.answered(status, time.perf_counter() - began)
        self._pool.take_back(connection, address, context)
        return answer


class _Again(Exception):
    """It says nothing of the message, and a second delivery does no harm: its id is the same."""


def _next(url: URL, answer: Answer) -> Address:
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
    if target.origin() == url.origin():
        target = target.with_user(url.user).with_password(url.password)
    return Address.of(target)


def _explained(target: str, error: Exception, context: ssl.SSLContext | None) -> Retry:
    cause = error.cause if isinstance(error, Ended) else error
    tls = cause if isinstance(cause, ssl.SSLError) else take_failure(context) if context is not None else None
    if tls is not None:
        return Unavailable(reason=explain_tls(tls, target))
    match error:
        case Silent():
            return Unavailable(reason=f"{target} was silent for too long")
        case Ended():
            return Retry(reason=f"{target} closed the connection and gave no answer")
        case NotHttp():
            return Retry(reason=one_line(f"{target} did not answer with HTTP: {error}"))
        case TimeoutError() if error.errno is None:
            return Unavailable(reason=f"{target} was not reached: connecting took too long")
        case OSError():
            return Unavailable(reason=f"{target} was not reached: {error.strerror or error}")
        case _:
            return Retry(reason=f"{target} gave no proper answer: {type(error).__name__}")
