"""The store in a PostgreSQL database, for more than one host."""
