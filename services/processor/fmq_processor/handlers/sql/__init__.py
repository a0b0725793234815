"""The handler ``sql``: each message becomes a row of a table."""
