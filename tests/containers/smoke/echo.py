"""Subscribes to `in`, stores each message in SQLite, then publishes its number to `out`. `healthy` asks the file."""

import signal
import sys

import apsw
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


def run(db: apsw.Connection) -> None:
    def subscribed(*_: object) -> None:
        db.execute("CREATE TABLE IF NOT EXISTS ready (at INTEGER)")

    def received(client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        db.execute("INSERT INTO msg (payload) VALUES (?)", (message.payload,))
        client.publish("out", str(db.last_insert_rowid()), qos=1)

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="echo")
    client.on_connect = lambda client, *_: client.subscribe("in", qos=1)
    client.on_subscribe = subscribed
    client.on_message = received
    signal.signal(signal.SIGTERM, lambda *_: client.disconnect())
    client.connect("broker")
    client.loop_forever()


if __name__ == "__main__":
    db = apsw.Connection("/data/echo.db")
    db.set_busy_timeout(5000)
    db.execute("CREATE TABLE IF NOT EXISTS msg (id INTEGER PRIMARY KEY, payload BLOB)")
    if sys.argv[1:] == ["healthy"]:
        sys.exit(db.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'ready'").get != 1)
    run(db)
