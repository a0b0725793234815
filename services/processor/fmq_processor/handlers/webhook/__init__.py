"""Delivers each message by HTTP. See docs/handlers/webhook.md."""
