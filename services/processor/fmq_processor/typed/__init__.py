"""Handlers with typed parameters: the payload as a value of a type, and what ``setup()`` made."""
