"""Puts a listener together from settings and a store."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from fmq.service.http.health import Heartbeat
from fmq.service.lifecycle import Shutdown
from fmq.service.metrics import ListenerMetrics
from fmq.store.roles import Store
from fmq_listener.intake.admission import Admission
from fmq_listener.intake.ingest import Ingest, OnStored
from fmq_listener.mqtt import client_id as client_ids
from fmq_listener.mqtt.session import Session
from fmq_listener.settings import ListenerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """The parts of a listener that its service uses."""

    settings: ListenerSettings
    client_id: str
    session: Session
    ingest: Ingest

    def state(self) -> Mapping[str, object]:
        """What a page shows. For any thread."""
        return {
            "queues": [one.name for one in self.settings.filters],
            "broker": str(self.settings.broker),
            "client_id": self.client_id,
            "connected": self.session.subscribed,
            "problem": self.session.problem or self.ingest.store_problem,
        }


def make_listener(
    settings: ListenerSettings,
    *,
    store: Store,
    metrics: ListenerMetrics,
    heartbeat: Heartbeat,
    shutdown: Shutdown,
    leaving: bool,
    on_stored: OnStored | None,
) -> Listener:
    """A listener whose queues exist. Raises StoreUnavailable."""
    names = [one.name for one in settings.filters]
    for name in names:
        store.declare(name)
    client_id = client_ids.choose(settings, store, store.identity())
    admission = Admission(settings, store, client_id=client_id)
    session = Session(
        settings,
        client_id=client_id,
        store=store,
        shutdown=shutdown,
        leave=leaving,
        on_begin=admission.begin,
        on_subscribe_again=admission.subscribed_again,
    )
    metrics.start_at_zero(names)
    metrics.connected.set_function(lambda: session.subscribed)
    for name in names:
        metrics.subscribed.labels(name).set_function(partial(session.holds, name))
    ingest = Ingest(
        settings,
        session=session,
        admission=admission,
        store=store,
        metrics=metrics,
        heartbeat=heartbeat,
        shutdown=shutdown,
        over=lambda: leaving and session.has_left,
        on_stored=on_stored,
    )
    return Listener(settings=settings, client_id=client_id, session=session, ingest=ingest)
