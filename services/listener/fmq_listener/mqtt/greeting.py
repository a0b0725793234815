"""What the broker says of itself and of the session in CONNACK (MQTT 5, section 3.2; 3.1.1 says the session's part only)."""

import logging
from collections.abc import Iterable
from typing import Any

from paho.mqtt.properties import Properties

from fmq.quantities import show
from fmq.topics import TopicFilter
from fmq_listener.settings import LARGEST_PACKET, ListenerSettings

_log = logging.getLogger(__name__)


class Greeting:
    """A CONNACK that accepts. ``repeated`` are the queues whose filter the session has held before this connection."""

    def __init__(self, *, session_present: bool, properties: Properties | None = None) -> None:
        self.session_present = session_present
        self.repeated: frozenset[str] = frozenset()
        self._properties = properties

    @property
    def takes_identifiers(self) -> bool:
        """Whether subscription identifiers may be used."""
        return bool(self._limit("SubscriptionIdentifierAvailable", 1))

    def unavailable(self, filters: Iterable[TopicFilter]) -> dict[str, str]:
        """Those of ``filters`` that the broker has said it can't serve, each with the reason."""
        shared = self._limit("SharedSubscriptionAvailable", 1)
        wildcards = self._limit("WildcardSubscriptionAvailable", 1)
        found: dict[str, str] = {}
        for one in filters:
            if not shared and one.text != one.name:
                found[one.text] = "the broker has no shared subscriptions"
            elif not wildcards and ("+" in one.name or "#" in one.name):
                found[one.text] = "the broker has no wildcard subscriptions"
        return found

    def report(self, settings: ListenerSettings, *, first: bool) -> None:
        """Log what it means for this listener; ``first``: also what stays the same over connections."""
        state = "present" if self.session_present else "new"
        _log.info("Connected to %s (session: %s)", settings.broker, state)
        granted = self._limit("SessionExpiryInterval")
        if granted is not None and granted < settings.session_expiry_seconds:
            _log.warning("The broker keeps messages for an absent listener for only %d s", granted)
        largest = self._limit("MaximumPacketSize", LARGEST_PACKET)
        if first and settings.mqtt_version == "5" and largest > settings.max_packet_bytes:
            # It discards them as if they had been delivered (MQTT 5, section 3.1.2.11.4). No warning: so does every broker with
            # its usual settings, and nothing is wrong until somebody publishes such a message.
            _log.info(
                "Messages above FMQ_MAX_PACKET_BYTES=%s never reach this listener: the broker takes them from publishers, up to %s, and "
                "drops them without an error. Set its limit to the same to make publishers notice (Mosquitto: max_packet_size)",
                show(settings.max_packet_bytes, "bytes"),
                "any size" if largest == LARGEST_PACKET else show(largest, "bytes"),
            )

    def _limit(self, name: str, default: int | None = None) -> Any:  # noqa: ANN401 - paho sets attributes
        return getattr(self._properties, name, default)
