"""Which route a message belongs to, and how it gets there."""
