"""A connection to the broker: its URL, its settings, and what every MQTT client is set up with. Imports no MQTT client."""
