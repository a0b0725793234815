"""Asking the broker for subscriptions, and taking back those that are not wanted any more."""

import logging
from collections.abc import Sequence

from paho.mqtt.client import Client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from fmq.clock import Clock
from fmq.log import shorten
from fmq.topics import TopicFilter
from fmq_listener.ledger import Ledger

_log = logging.getLogger(__name__)
_QOS = 1  # QoS 2 can't be acknowledged after a commit with paho; the broker hands it over at QoS 1
_ANSWER_SECONDS = 30.0
_RETRY_SECONDS = 60.0


class Subscriptions:
    """Keeps what the session holds as the ledger wants it. Callbacks only note answers; ``settle`` acts on them."""

    def __init__(self, client: Client, ledger: Ledger, *, v5: bool, clock: Clock) -> None:
        self._client = client
        self._ledger = ledger
        self._v5 = v5
        self._clock = clock
        self._asked: dict[int, tuple[TopicFilter, int]] = {}
        self._leaving: dict[int, str] = {}
        self._answers: list[tuple[int, Sequence[ReasonCode]]] = []
        self._left: list[int] = []
        self._retry_at = 0.0
        self._deadline = 0.0
        client.on_subscribe = lambda _client, _userdata, mid, reasons, _properties: self._answers.append((mid, reasons))
        client.on_unsubscribe = lambda _client, _userdata, mid, _reasons, _properties: self._left.append(mid)

    @property
    def complete(self) -> bool:
        """Whether every wanted filter is subscribed."""
        return not self._asked and not self._ledger.refused

    @property
    def none_left(self) -> bool:
        """Whether the session holds no subscription any more."""
        return not self._asked and not self._leaving and not self._ledger.known

    @property
    def overdue(self) -> bool:
        """Whether the broker owes an answer for too long."""
        return bool(self._asked or self._leaving) and self._clock.steady() > self._deadline

    def start(self, *, session_present: bool, numbers: dict[str, int]) -> None:
        """Ask for what is missing on a new connection. Raises StoreUnavailable."""
        for waiting in (self._asked, self._leaving, self._answers, self._left):
            waiting.clear()
        self._ask(self._ledger.begin(session_present=session_present, numbers=numbers))
        for text in self._ledger.former:
            _, mid = self._client.unsubscribe(text)
            self._leaving[mid or 0] = text
        if not self._asked and not self._leaving:
            self._tell()

    def settle(self) -> None:
        """Act on the broker's answers. Raises StoreUnavailable."""
        if self._answers or self._left:
            while self._answers:
                self._granted(*self._answers.pop(0))
            while self._left:
                text = self._leaving.pop(self._left.pop(0), None)
                if text is not None:
                    self._ledger.gone(text)
                    _log.info("Unsubscribed from %s", shorten(text))
            if not self._asked and not self._leaving:
                self._ledger.save()
                self._tell()
        if self._ledger.refused and not self._asked and self._clock.steady() >= self._retry_at:
            self._ask(self._ledger.missing())

    def _ask(self, missing: Sequence[tuple[TopicFilter, int]]) -> None:
        self._deadline = self._clock.steady() + _ANSWER_SECONDS
        for one, number in missing:
            if self._v5:
                properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]
                if number:
                    properties.SubscriptionIdentifier = number
                options = SubscribeOptions(qos=_QOS, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
                _, mid = self._client.subscribe(one.text, options=options, properties=properties)
            else:
                _, mid = self._client.subscribe(one.text, qos=_QOS)
            self._asked[mid or 0] = (one, number)

    def _granted(self, mid: int, reasons: Sequence[ReasonCode]) -> None:
        if mid not in self._asked:
            return
        one, number = self._asked.pop(mid)
        reason = reasons[0]
        if reason.is_failure:
            self._ledger.refuse(one)
            self._retry_at = self._clock.steady() + _RETRY_SECONDS
            _log.error(
                "The broker refused the subscription to %s: %s; next attempt in %g s",
                shorten(one.text),
                reason.getName(),
                _RETRY_SECONDS,
            )
            return
        if reason.value < _QOS:
            _log.warning("The broker granted %s at QoS 0 only: messages may be lost", shorten(one.text))
        self._ledger.held(one, number)

    def _tell(self) -> None:
        if self.none_left:
            _log.info("Connected, and subscribed to nothing any more")
        elif self._ledger.refused:
            _log.warning("Connected, but not subscribed to %s", ", ".join(map(shorten, sorted(self._ledger.refused))))
        else:
            _log.info("Connected and subscribed successfully")
