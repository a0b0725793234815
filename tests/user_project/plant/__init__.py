"""A plant's handlers."""
