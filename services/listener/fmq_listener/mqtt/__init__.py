"""One MQTT session: the connection, its subscriptions, its acknowledgements."""
