"""The HTTP port of a service."""
