"""The server: how it is addressed, reached and judged."""
