"""Changes of many messages, in steps, on the server."""
