"""Moves messages with their whole state out of the store and into it."""
