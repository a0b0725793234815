"""Unsubscribing from filters that are no longer wanted."""

import logging
from collections.abc import Iterable, Mapping, Sequence

from paho.mqtt.client import Client
from paho.mqtt.reasoncodes import ReasonCode

from fmq.clock import Clock
from fmq.service.log import shorten
from fmq_listener.mqtt.subscriptions.ledger import ANSWER_SECONDS, Ledger

_log = logging.getLogger(__name__)


class Removals:
    """Takes subscriptions back, on one connection after the other. Callbacks only note answers; ``settle`` acts on them."""

    def __init__(self, client: Client, ledger: Ledger, *, clock: Clock) -> None:
        self._client = client
        self._ledger = ledger
        self._clock = clock
        self._asked: dict[int, str] = {}
        self._kept: dict[str, str] = {}
        self._answers: list[tuple[int, Sequence[ReasonCode]]] = []
        self._answer_by = 0.0
        client.on_unsubscribe = lambda _client, _userdata, mid, reasons, _properties: self._answers.append(
            (mid, reasons)
        )

    @property
    def awaited(self) -> bool:
        """Whether the broker still owes an answer."""
        return bool(self._asked)

    @property
    def kept(self) -> Mapping[str, str]:
        """Filters that the broker did not confirm to have removed, on this connection, with the reason."""
        return self._kept

    def reset(self) -> None:
        """Forget what holds for one connection only."""
        for waiting in (self._asked, self._kept, self._answers):
            waiting.clear()

    def ask(self) -> None:
        """Send an UNSUBSCRIBE for each filter that is no longer wanted."""
        self._answer_by = self._clock.steady() + ANSWER_SECONDS
        for text in self._ledger.former:
            _, mid = self._client.unsubscribe(text)
            self._asked[mid or 0] = text

    def settle(self) -> None:
        """Act on the broker's answers. Raises StoreUnavailable."""
        if self._answers:
            while self._answers:
                self._take_answer(*self._answers.pop(0))
            self._ledger.save()
        if self._asked and self._clock.steady() > self._answer_by:
            self._keep(self._asked.values(), "no answer to UNSUBSCRIBE")
            self._asked.clear()

    def _take_answer(self, mid: int, reasons: Sequence[ReasonCode]) -> None:
        text = self._asked.pop(mid, None)
        if text is None:
            return
        if reasons and reasons[0].is_failure:
            self._keep([text], reasons[0].getName())
            return
        if self._ledger.former.get(text):
            _log.info("Unsubscribed from %s", shorten(text))
        self._ledger.removed(text)

    def _keep(self, texts: Iterable[str], reason: str) -> None:
        """A missing or refusing UNSUBACK (MQTT 5, section 3.11.3). The next connection asks again."""
        for text in texts:
            self._kept[text] = reason
            unconfirmed = self._ledger.former.get(text)
            _log.log(
                logging.WARNING if unconfirmed else logging.DEBUG,
                "The broker did not confirm that it removed the subscription to %s: %s; its messages are still stored",
                shorten(text),
                reason,
            )
