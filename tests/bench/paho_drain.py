"""What one would write with paho alone, in a process of its own: takes a session's backlog and tells how long it took.

Arguments: port, client id, MQTT version, how many messages, and a database's path (each message is committed to it
before paho acknowledges it) or nothing (a message is dropped). With 0 messages it only makes the session.
"""

import sys
import time
from typing import Any

import apsw
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

TOPIC = "bench/readings"


def connected(port: int, client_id: str, mqtt_version: str) -> Client:
    """A client with a persistent session, on its way to being connected."""
    if mqtt_version != "5":
        client = Client(CallbackAPIVersion.VERSION2, client_id, clean_session=False)
        client.connect("127.0.0.1", port)
        return client
    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 3600
    client.connect("127.0.0.1", port, clean_start=False, properties=properties)
    return client


def subscribe(client: Client) -> None:
    """Subscribe and end the connection; the broker keeps the session."""

    def on_connect(*_about: Any) -> None:  # noqa: ANN401 - paho's
        client.subscribe(TOPIC, qos=1)

    def on_subscribe(*_about: Any) -> None:  # noqa: ANN401
        client.disconnect()

    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.loop_forever()


def drain(client: Client, count: int, database: str | None) -> float:
    """Take ``count`` messages; returns the seconds from the first one's arrival to the end of the last one."""
    times: list[float] = []
    left = count
    sql = _open(database) if database else None

    def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:  # noqa: ANN401 - paho's
        nonlocal left
        if not times:
            times.append(time.perf_counter())
        if sql is not None:
            sql.execute("INSERT INTO message VALUES (?, ?, ?)", (message.topic, message.payload, time.time()))
        left -= 1
        if left == 0:
            times.append(time.perf_counter())
            client.disconnect()

    client.on_message = on_message
    client.loop_forever()
    return times[1] - times[0]


def _open(database: str) -> apsw.Connection:
    sql = apsw.Connection(database)
    sql.pragma("journal_mode", "WAL")
    sql.pragma("synchronous", "FULL")
    sql.execute("CREATE TABLE message (topic TEXT, payload BLOB, received_at REAL)")
    return sql


if __name__ == "__main__":
    _, port_text, own_id, wanted_version, count_text, *where = sys.argv
    started = connected(int(port_text), own_id, wanted_version)
    if int(count_text):
        sys.stdout.write(repr(drain(started, int(count_text), where[0] if where else None)))
    else:
        subscribe(started)
