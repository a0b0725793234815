"""The handler ``queue``: hands messages over to another store of queues, such as from the edge to the centre."""
