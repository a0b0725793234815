"""The handler ``queue``: moves messages to another store, for example from the edge to the centre."""
