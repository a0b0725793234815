"""The commands that move messages: to another store, and to and from files."""
