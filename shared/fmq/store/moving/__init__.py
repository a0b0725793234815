"""Moves messages between stores: their JSON lines, parcels on their way, and the handover from one store to another."""
