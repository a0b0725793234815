"""Packets, taken apart and made into messages."""
