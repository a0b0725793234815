"""The tables of a store, and the steps that bring older ones up to date."""
