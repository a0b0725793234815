"""The command ``fmq``: a module for each of its sub-commands."""
