"""The handler ``exec``: runs a command for each message, which gets it on standard input."""
