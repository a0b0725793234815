"""Subscribing to every wanted filter, on every connection."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from paho.mqtt.client import Client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from fmq.clock import Clock
from fmq.service.log import shorten
from fmq.topics import TopicFilter
from fmq_listener.mqtt.subscriptions.ledger import ANSWER_SECONDS, Ledger

_log = logging.getLogger(__name__)
_QOS = 1
_ENOUGH = (1, 2)
_RETRY_SECONDS = 60.0
_LONGEST_RETRY_SECONDS = 3_600.0
_CLOSES_WITHIN = 5.0
"""Seconds after a refusal within which the end of the connection counts as part of it: RabbitMQ closes then."""
_QOS_0 = "granted at QoS 0 only"
_CLOSED = "the broker closed the connection without an answer"
_LATE = "no answer in time"
_SUSPECT_AFTER = 2
"""Connections that end while one filter alone awaits its SUBACK, until it counts as refused if others were granted."""


@dataclass(slots=True)
class _Refusal:
    """``fatal``: the broker ended the connection after it. Times are in steady seconds."""

    reason: str
    at: float
    retry_at: float
    delay: float = _RETRY_SECONDS
    fatal: bool = False


class Subscriptions:
    """Keeps the session subscribed to all wanted filters. Callbacks only note answers; ``settle`` acts on them.

    Refusals outlive a connection: a broker that closes the connection after each of them is asked for the other filters
    on the next one, and for the refused one less and less often. A broker may also close it in place of a SUBACK (MQTT
    3.1.1 has no other error code for RabbitMQ 3.10 to send): then filters are asked for one by one, to find the one.
    """

    def __init__(self, client: Client, ledger: Ledger, *, v5: bool, clock: Clock) -> None:
        self._client = client
        self._ledger = ledger
        self._v5 = v5
        self._clock = clock
        self._started = False
        self._numbers: Mapping[str, int] = {}
        self._asked: dict[int, TopicFilter] = {}
        self._next: list[TopicFilter] = []
        """To be asked for after the answers that are awaited."""
        self._singly = False
        self._unanswered: dict[str, int] = {}
        """How many connections ended while this filter alone was awaited, since it was last answered."""
        self._granted: set[str] = set()
        self._texts = {one.name: one.text for one in ledger.wanted}
        self._refused: dict[str, _Refusal] = {}
        self._answers: list[tuple[int, Sequence[ReasonCode]]] = []
        self._unavailable: frozenset[str] = frozenset()
        self._answer_by = 0.0
        client.on_subscribe = lambda _client, _userdata, mid, reasons, _properties: self._answers.append((mid, reasons))

    @property
    def complete(self) -> bool:
        """Whether the broker has granted every wanted filter at QoS 1 on this connection."""
        return self._started and all(one.text in self._granted for one in self._ledger.wanted)

    def held(self, name: str) -> bool:
        """Whether the filter of this queue is granted at QoS 1 on this connection."""
        return self._texts.get(name) in self._granted

    @property
    def problem(self) -> str | None:
        """Which filters are not subscribed, and why; None if all are."""
        if self.complete:
            return None
        missing = {
            one.text: self._refused[one.text].reason if one.text in self._refused else "no answer yet"
            for one in self._ledger.wanted
            if one.text not in self._granted
        }
        return "not subscribed to " + ", ".join(f"{shorten(text)} ({why})" for text, why in sorted(missing.items()))

    @property
    def blame(self) -> str:
        """Which refusal the end of this connection follows; empty if none."""
        now = self._clock.steady()
        recent = [text for text, one in self._refused.items() if one.reason != _QOS_0 and now - one.at < _CLOSES_WITHIN]
        if recent:
            return f" after it refused the subscription to {', '.join(map(shorten, recent))}"
        if self._granted and (suspect := self._suspect) in self._unanswered:
            return f" before it answered the subscription to {shorten(suspect)}"
        return ""

    @property
    def _suspect(self) -> str:
        """The filter whose SUBACK alone is awaited: the one to blame if the connection ends now. Empty if none."""
        return next(iter(self._asked.values())).text if len(self._asked) == 1 else ""

    @property
    def overdue(self) -> bool:
        """Whether the broker owes an answer to SUBSCRIBE for too long."""
        return bool(self._asked) and self._clock.steady() > self._answer_by

    def reset(self) -> None:
        """Forget what holds for one connection only."""
        self._started = False
        for waiting in (self._asked, self._next, self._answers, self._granted):
            waiting.clear()

    def ended(self) -> None:
        """The connection has ended: a refusal that came just before, or a SUBACK that did not come, may be the reason."""
        now = self._clock.steady()
        why = _LATE if self.overdue else _CLOSED
        if suspect := self._suspect:
            count = self._unanswered[suspect] = self._unanswered.get(suspect, 0) + 1  # asked for after the others now
            if count >= _SUSPECT_AFTER and self._granted:
                self._refuse(suspect, why)
        self._singly = self._singly or bool(self._asked)
        for one in self._refused.values():
            if one.reason != _QOS_0 and now - one.at < _CLOSES_WITHIN:
                one.fatal = True
                one.retry_at = now + one.delay

    def start(self, *, numbers: Mapping[str, int], unavailable: Mapping[str, str]) -> None:
        """Ask for every wanted filter on a new connection.

        ``numbers`` maps queue names to subscription identifiers; empty if the broker takes none. ``unavailable`` are
        filters that the broker has said it can't serve, with the reason.
        """
        self._started = True
        self._numbers = numbers
        self._unavailable = frozenset(unavailable)
        now = self._clock.steady()
        for text, reason in unavailable.items():
            self._refuse(text, reason)
        skipped = {text for text, one in self._refused.items() if one.fatal and one.retry_at > now}
        self._ask(one for one in self._ledger.wanted if one.text not in skipped and one.text not in unavailable)
        if not self._asked and self._ledger.wanted:
            self._report()

    def settle(self) -> None:
        """Act on the broker's answers. Raises StoreUnavailable."""
        if self._answers:
            while self._answers:
                self._take_answer(*self._answers.pop(0))
            if not self._asked and self._next:
                self._send(self._next.pop(0))
            if not self._asked:
                self._singly = False
                self._ledger.save()
                self._report()

    def ask_again(self) -> bool:
        """Ask for what was refused, where it is time. Returns whether anything was asked for."""
        now = self._clock.steady()
        if self._refused and not self._asked:
            self._ask(one for one in self._ledger.wanted if self._is_due(one.text, now))
            return bool(self._asked)
        return False

    def _is_due(self, text: str, now: float) -> bool:
        return text in self._refused and text not in self._unavailable and now >= self._refused[text].retry_at

    def _ask(self, filters: Iterable[TopicFilter]) -> None:
        wanted = sorted(filters, key=lambda one: self._unanswered.get(one.text, 0))
        at_once = wanted[:1] if self._singly else wanted
        self._next = wanted[len(at_once) :]
        for one in at_once:
            self._send(one)

    def _send(self, one: TopicFilter) -> None:
        self._answer_by = self._clock.steady() + ANSWER_SECONDS
        if self._v5:
            properties = Properties(PacketTypes.SUBSCRIBE)  # type: ignore[no-untyped-call]
            if number := self._numbers.get(one.name, 0):
                properties.SubscriptionIdentifier = number
            options = SubscribeOptions(qos=_QOS, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
            _, mid = self._client.subscribe(one.text, options=options, properties=properties)
        else:
            _, mid = self._client.subscribe(one.text, qos=_QOS)
        self._asked[mid or 0] = one

    def _take_answer(self, mid: int, reasons: Sequence[ReasonCode]) -> None:
        one = self._asked.pop(mid, None)
        if one is None:
            return
        self._unanswered.pop(one.text, None)
        reason = reasons[0]
        if reason.value in _ENOUGH:
            self._granted.add(one.text)
            self._refused.pop(one.text, None)
            self._ledger.granted(one)
        elif not reason.is_failure:
            self._ledger.granted(one)
            self._refuse(one.text, _QOS_0)
        else:
            self._refuse(one.text, reason.getName())

    def _refuse(self, text: str, reason: str) -> None:
        now = self._clock.steady()
        before = self._refused.get(text)
        delay = min(_LONGEST_RETRY_SECONDS, before.delay * 2) if before and before.fatal else _RETRY_SECONDS
        self._refused[text] = _Refusal(reason, now, now + delay, delay, before is not None and before.fatal)
        if before is not None and before.reason == reason and not before.fatal and now - before.at < _RETRY_SECONDS:
            return  # the same on a new connection: already in the log
        if reason == _QOS_0:
            what = "The broker granted the subscription to %s at QoS 0 only: messages may be lost; next attempt in %g s"
            _log.error(what, shorten(text), delay)
        else:
            what = "The broker refused the subscription to %s: %s; next attempt in %g s"
            _log.error(what, shorten(text), reason, delay)

    def _report(self) -> None:
        if (problem := self.problem) is None:
            _log.info("Connected and subscribed successfully")
        else:
            _log.warning("Connected, but %s", problem)
