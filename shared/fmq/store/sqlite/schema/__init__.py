"""The tables of a store, and the steps that bring an older file up to date."""
