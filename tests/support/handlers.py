"""Handlers for tests."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from fmq.handler import Handler, find_handler
from fmq_processor.typed.adapting import adapted


def load_handler(reference: str, builtin: Mapping[str, str]) -> Handler:
    """Find and make a handler that asks for no settings. Raises HandlerError."""
    return adapted(find_handler(reference, builtin).make(None, CollectorRegistry()))
