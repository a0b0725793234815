"""The handler ``mqtt``: each message is published to another broker or topic."""
