"""Publishing alone, for a system that is already running."""

import random

from rich.console import Console

from fmq.errors import SettingsError
from fmq.service.broker.settings import BrokerSettings
from fmq.service.lifecycle import Shutdown
from fmq_demo.broker import is_given
from fmq_demo.client import BrokerUnreachable
from fmq_demo.publisher import Publisher
from fmq_demo.readings import Sensors
from fmq_demo.screen import say

_ROOT = "sensors"
_TELL_SECONDS = 10.0
_RETRY_SECONDS = 2.0
_PUBACK_SECONDS = 10.0


def publish_only(
    settings: BrokerSettings, console: Console, stop: Shutdown, *, rate: float, seconds: float | None
) -> bool:
    """Publish readings to the broker of the settings until the user or the time stops it.

    Waits for the broker as long as it takes. Returns whether the broker acknowledged every message. Raises
    SettingsError if no broker is set.
    """
    if not is_given(settings):
        raise SettingsError("--publish-only needs FMQ_BROKER_URL, such as mqtt://127.0.0.1:1883")
    sensors = Sensors(_ROOT, random.Random())
    while not stop.requested:
        publisher = Publisher(settings, sensors, rate=rate)
        try:
            with publisher:
                say(
                    console,
                    f"Publishing {rate:g} readings a second to {settings.broker}, for {' and '.join(sensors.filters)}",
                )
                _tell(publisher, console, stop, seconds)
                publisher.stop(patience=_PUBACK_SECONDS)
        except BrokerUnreachable as error:
            say(console, f"{error}; trying again")
            stop.wait(_RETRY_SECONDS)
            continue
        say(
            console,
            f"{publisher.published.total():,} published, {publisher.refused:,} refused, "
            f"{publisher.unanswered:,} without an acknowledgement",
        )
        return not publisher.refused and not publisher.unanswered
    return False


def _tell(publisher: Publisher, console: Console, stop: Shutdown, seconds: float | None) -> None:
    left = float("inf") if seconds is None else seconds
    while left > 0 and not stop.wait(min(left, _TELL_SECONDS)):
        left -= _TELL_SECONDS
        say(console, f"{publisher.published.total():,} published")
