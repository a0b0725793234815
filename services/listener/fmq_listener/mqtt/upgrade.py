"""Asks for a WebSocket as the listener does, to learn what paho does not tell: the status of a refusal."""

import base64
import secrets
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from fmq.service.broker.client import CONNECT_SECONDS
from fmq.service.broker.settings import tls_context
from fmq_listener.settings import ListenerSettings


def upgrade_status(settings: ListenerSettings) -> str:
    """The status with which the broker answers, such as ``403 Forbidden``; empty if it sends none.

    Raises SettingsError for TLS files that can't be used.
    """
    broker = settings.broker
    access = settings.access_to(broker)
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "mqtt",
        **dict(access.headers),
    }
    connection = (
        HTTPSConnection(broker.host, broker.port, timeout=CONNECT_SECONDS, context=tls_context(settings))
        if broker.tls
        else HTTPConnection(broker.host, broker.port, timeout=CONNECT_SECONDS)
    )
    try:
        connection.request("GET", access.target, headers=headers)
        answer = connection.getresponse()
    except (OSError, HTTPException):
        return ""
    finally:
        connection.close()
    return f"{answer.status} {answer.reason}".strip()
