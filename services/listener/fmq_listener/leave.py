"""Leaving a broker for good, before this listener's part of the work is taken away.

A broker goes on to queue messages for a persistent session whose listener is gone, and with a shared subscription those
are messages that other listeners never see. So before scaling in: take what the session holds until it is proven to be
empty (see departure), unsubscribe, end the session, and wait until what is queued here is handled.
"""

import logging

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from fmq.broker import explain_error
from fmq.errors import QueueError, SettingsError
from fmq.health import Heartbeat
from fmq.lifecycle import Shutdown
from fmq.queue import Queue
from fmq_listener.connection import forget_session
from fmq_listener.departure import LeaveInDoubt
from fmq_listener.ingest import Ingest
from fmq_listener.settings import ListenerSettings

_log = logging.getLogger(__name__)
_BEAT_SECONDS = 5.0
_LOOK_SECONDS = 0.5
_TELL_LOOKS = 20


class Interrupted(Exception):
    """The shutdown came first."""


def leave(
    settings: ListenerSettings,
    client_id: str,
    *,
    ingest: Ingest,
    queue: Queue,
    heartbeat: Heartbeat,
    shutdown: Shutdown,
) -> bool:
    """Leave the broker and wait until nothing is pending or claimed. Returns whether it came to its end.

    Dead letters don't count: they are kept for an operator. Raises what ``Ingest.run`` raises.
    """
    try:
        ingest.run()
        _forget(settings, client_id, heartbeat, shutdown)
        _log.info("Left the broker: the session of %s has ended", client_id)
        _await_handled(queue, heartbeat, shutdown)
    except Interrupted:
        _log.error("Stopped before everything was handled: leave again")
        return False
    except LeaveInDoubt as doubt:
        _log.error("Not left: %s. The session is kept, and nothing is lost", doubt)
        return False
    _log.info("Nothing is left to be handled")
    return True


def _forget(settings: ListenerSettings, client_id: str, heartbeat: Heartbeat, shutdown: Shutdown) -> None:
    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        why = explain_error(error) if isinstance(error, Exception) else error
        _log.warning("Ending the session failed, trying again: %s", why)

    def pause(seconds: float) -> None:
        while seconds > 0:
            heartbeat.beat()
            if shutdown.wait(min(seconds, _BEAT_SECONDS)):
                raise Interrupted
            seconds -= _BEAT_SECONDS

    if shutdown.requested:
        raise Interrupted
    Retrying(
        retry=retry_if_exception_type((OSError, ValueError, SettingsError)),
        wait=wait_random_exponential(1, max=settings.reconnect_max_seconds),
        sleep=pause,
        before_sleep=tell,
    )(forget_session, settings, client_id)


def _await_handled(queue: Queue, heartbeat: Heartbeat, shutdown: Shutdown) -> None:
    looks = 0
    while True:
        heartbeat.beat()
        try:
            stats = [queue.stats(name) for name in queue.names()]
            waiting = sum(one.pending + one.claimed for one in stats)
            if not waiting:
                return
            if looks % _TELL_LOOKS == 0:
                _log.info("%d messages are still to be handled", waiting)
        except QueueError as error:
            _log.warning("The store can't be read, trying again: %s", error)
        looks += 1
        if shutdown.wait(_LOOK_SECONDS):
            raise Interrupted
