"""Handlers out: claim, handle, settle."""
