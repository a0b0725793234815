"""The worker: claims, hands out, collects and settles."""
