"""The configuration file: reads it, knows where in it each setting stands, and finds what is misspelt."""
