"""Why the broker refused or ended a connection, in words, and which setting helps."""

from paho.mqtt.reasoncodes import ReasonCode

from fmq.mqtt.reasons import NOTHING, Said, explain_reason

_URL = "FMQ_BROKER_URL"
_HINTS = {
    "Bad user name or password": "; set FMQ_BROKER_USERNAME and FMQ_BROKER_PASSWORD",
    "Not authorized": "; the broker expects another user name or password (FMQ_BROKER_USERNAME, FMQ_BROKER_PASSWORD), query "
    "(FMQ_BROKER_QUERY) or client certificate",
    "Unsupported protocol version": "; set FMQ_MQTT_VERSION to the other one",
    "Client identifier not valid": "; set another FMQ_CLIENT_ID",
}


def explain_refusal(reason: ReasonCode, said: Said = NOTHING) -> str:
    """Why the broker refused the connection."""
    text = explain_reason(reason, said, setting=_URL)
    return f"the broker refused the connection: {text}{_HINTS.get(reason.getName(), '')}"


def explain_disconnect(reason: ReasonCode, said: Said) -> str:
    """The reason of the broker's DISCONNECT."""
    return explain_reason(reason, said, setting=_URL)
