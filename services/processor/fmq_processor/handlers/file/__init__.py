"""The handler ``file``: each message as a line of JSON, appended and synced before it is done."""
