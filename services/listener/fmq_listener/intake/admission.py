"""Decides which messages of a batch are stored, and with which delay and key."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fmq.message import Incoming, Receipt, Terms
from fmq.store.options import NO_TERMS
from fmq_listener.intake.terms import Asking
from fmq_listener.keys import key_of
from fmq_listener.mqtt.greeting import Greeting
from fmq_listener.mqtt.packets.batch import Batch
from fmq_listener.mqtt.packets.redelivery import ReceiptStore, Redelivery
from fmq_listener.mqtt.subscriptions.retained import Retained
from fmq_listener.settings import ListenerSettings


class Admitted(NamedTuple):
    """The messages to store, their terms by position and a receipt. ``again`` are duplicates, which are not stored."""

    messages: Sequence[Incoming]
    terms: Mapping[int, Terms] = NO_TERMS
    receipt: Receipt | None = None
    again: Sequence[Incoming] = ()


class Admission:
    """Decides about the batches of one session. With all of it switched off, a message costs nothing here."""

    def __init__(self, settings: ListenerSettings, store: ReceiptStore, *, client_id: str) -> None:
        self._receipts = store
        self._session = f"{client_id}@{settings.broker.host}:{settings.broker.port}"
        self._redelivery: Redelivery | None = None
        if settings.duplicates == "session":
            self._redelivery = Redelivery(store, session=self._session)
        self._retained = Retained(store, session=self._session) if settings.mqtt_version != "5" else None
        by_key = settings.duplicates == "key"
        self._asking: Asking | None = None
        if by_key or settings.delay_max_seconds:
            self._asking = Asking(
                key=key_of(settings.duplicate_key) if by_key else None,
                key_seconds=settings.duplicate_seconds,
                longest_delay=settings.delay_max_seconds,
            )

    def begin(self, greeting: Greeting) -> None:
        """A connection is established and nothing was read from it yet. Raises StoreUnavailable."""
        if self._redelivery:
            self._redelivery.begin(session_present=greeting.session_present)
        else:
            self._receipts.forget_receipts(
                self._session
            )  # otherwise they would be outdated when suppression is on again
        if self._retained:
            self._retained.begin(repeated=greeting.repeated)

    def subscribed_again(self) -> None:
        """Another SUBSCRIBE is sent on the same connection."""
        if self._retained:
            self._retained.subscribed_again()

    def admit(self, batch: Batch) -> Admitted:
        """The messages of ``batch`` to store."""
        messages: Sequence[Incoming] = batch.messages
        receipt: Receipt | None = None
        again: Sequence[Incoming] = ()
        if self._redelivery:
            messages, again, receipt = self._redelivery.sift(batch)
        if self._retained:
            messages, repeats = self._retained.sift(messages, batch)
            again = [*again, *repeats]
        terms = self._asking.terms(messages) if self._asking else NO_TERMS
        return Admitted(messages, terms, receipt, again)

    def stored(self, admitted: Admitted) -> None:
        """The commit of ``admitted`` has succeeded. Raises StoreUnavailable."""
        if self._redelivery:
            self._redelivery.stored(admitted.receipt)
        if self._retained:
            self._retained.stored(admitted.messages)
