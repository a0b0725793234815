"""Turns what a store holds into answers, through its roles only."""
