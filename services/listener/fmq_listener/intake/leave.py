"""Leaving a broker for good, before this listener's part of the work is taken away.

A broker goes on to queue messages for a persistent session whose listener is gone, and with a shared subscription those
are messages that other listeners never see. So before scaling in: take what the session holds until it is proven to be
empty (see departure), unsubscribe, end the session, and wait until what is queued here is handled. A store on a server needs no
wait: it stays, and others handle what is in it.
"""

import logging

from fmq.backoff import Backoff
from fmq.errors import QueueError, SettingsError
from fmq.service.broker.client import explain_error
from fmq.service.http.health import Heartbeat
from fmq.service.lifecycle import Shutdown
from fmq.service.retrying import retrying
from fmq.store.backends import backend_of
from fmq.store.roles import Statistics
from fmq_listener.intake.ingest import Ingest
from fmq_listener.mqtt.connection import forget_session
from fmq_listener.mqtt.departure import LeaveInDoubt
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
    store: Statistics,
    heartbeat: Heartbeat,
    shutdown: Shutdown,
) -> bool:
    """Leave the broker, and with a store on this host wait until nothing is pending or claimed. Returns whether it came to its end.

    Dead letters don't count: they are kept for an operator. Raises what ``Ingest.run`` raises.
    """
    try:
        ingest.run()
        _forget(settings, client_id, heartbeat, shutdown)
        _log.info("Left the broker: the session of %s has ended", client_id)
        if not backend_of(settings.queue_url).is_local:
            _log.info("The processors on other hosts handle what is stored")
            return True
        _await_handled(store, heartbeat, shutdown)
    except Interrupted:
        _log.error("Stopped before everything was handled. Run it again")
        return False
    except LeaveInDoubt as doubt:
        _log.error("Leaving failed: %s. The session is kept, and nothing is lost", doubt)
        return False
    _log.info("Everything is handled")
    return True


def _forget(settings: ListenerSettings, client_id: str, heartbeat: Heartbeat, shutdown: Shutdown) -> None:
    def log(_attempt: int, error: BaseException, _delay: float) -> None:
        why = explain_error(error) if isinstance(error, Exception) else error
        _log.warning("Ending the session failed; trying again: %s", why)

    def pause(seconds: float) -> None:
        while seconds > 0:
            heartbeat.beat()
            if shutdown.wait(min(seconds, _BEAT_SECONDS)):
                raise Interrupted
            seconds -= _BEAT_SECONDS

    if shutdown.requested:
        raise Interrupted
    backoff = Backoff(initial=1.0, maximum=settings.reconnect_max_seconds)
    errors = (OSError, ValueError, SettingsError)
    retrying(errors, backoff=backoff, sleep=pause, log=log)(forget_session, settings, client_id)


def _await_handled(store: Statistics, heartbeat: Heartbeat, shutdown: Shutdown) -> None:
    looks = 0
    while True:
        heartbeat.beat()
        try:
            stats = store.all_stats()
            waiting = sum(one.pending + one.claimed for one in stats)
            if not waiting:
                return
            if looks % _TELL_LOOKS == 0:
                _log.info("%d messages left to handle", waiting)
        except QueueError as error:
            _log.warning("Reading the store failed; trying again: %s", error)
        looks += 1
        if shutdown.wait(_LOOK_SECONDS):
            raise Interrupted
