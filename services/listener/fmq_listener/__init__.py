"""MQTT in: subscribe, store, acknowledge after the commit."""
