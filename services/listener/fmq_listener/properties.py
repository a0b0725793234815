"""The properties of a PUBLISH, from bytes to what is kept with the message (MQTT 5, section 3.3.2.3)."""

from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from fmq.message import NO_PROPERTIES, Properties


def decode_properties(section: bytes) -> tuple[list[int], Properties | None]:
    """The subscription identifiers of a PUBLISH, and what is kept with the message."""
    if len(section) <= 1:
        return [], None
    found = PahoProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    found.unpack(section)  # type: ignore[no-untyped-call]
    return sort_properties(found)


def sort_properties(found: PahoProperties) -> tuple[list[int], Properties | None]:
    """The subscription identifiers among paho's properties, and what is kept with the message."""
    # paho sets an attribute for each property that came, and answers every other question by walking all of them.
    fields: dict[str, Any] = vars(found)
    identifiers: list[int] = fields.get("SubscriptionIdentifier", [])
    kept = Properties(
        payload_format_indicator=fields.get("PayloadFormatIndicator"),
        message_expiry_interval=fields.get("MessageExpiryInterval"),
        content_type=fields.get("ContentType"),
        response_topic=fields.get("ResponseTopic"),
        correlation_data=fields.get("CorrelationData"),
        user_properties=tuple(fields.get("UserProperty", ())),
    )
    return identifiers, None if kept == NO_PROPERTIES else kept
