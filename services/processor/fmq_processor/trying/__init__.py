"""Runs a handler with the real engine, outside a service: for `fmq try` and ``fmq.testing``."""
