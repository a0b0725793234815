"""The sub-commands of `fmq` that need no service."""
