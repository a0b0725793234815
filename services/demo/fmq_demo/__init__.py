"""The whole system at work on one machine, for people to look at."""
